//! Starts commands confined, watches them, and ends all that they leave behind.
