//! `app-server`: what the system and the settings have to do with the protocol for programs.

pub mod settings;
