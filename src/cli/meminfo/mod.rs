//! `dfdetect meminfo`: what memory there is, who takes it, and what is free to train in. Memory is read in `memory`;
//! this folder shows it. Advice on settings is in `suggest`.

mod command;
mod headroom;
mod report;
mod rows;
mod run_memory;
mod tables;
#[cfg(test)]
mod tests;
mod trails;
mod watch;

pub use command::MeminfoArgs;
pub(super) use command::run;
