//! `dfdetect suggest`: whether a configuration fits the memory that is there, and which one would. The search for
//! settings is in `memory`; this folder parses, calls and prints.

mod args;
mod command;
mod gpu_names;
mod text;

pub use args::SuggestArgs;
pub(super) use command::run;
