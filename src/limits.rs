//! Every bound in the program, each with its unit in the name and the reason beside it.
//!
//! One section per room. Relations between bounds are `const` assertions at the end of a section.
//! Reaching a bound is an ordinary, tested outcome: refuse, clip, pause or fail, and say so.

// ---- words ----

// ---- tools ----

// ---- wire ----

// ---- config ----

// ---- core ----

// ---- fronts ----

// ---- host ----

// ---- host: net ----

// ---- host: processes ----

// ---- host: disk ----
