//! What the simulation found, told as stories.
