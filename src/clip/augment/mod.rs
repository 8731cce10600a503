//! Random changes to training clips.

mod augmentation;
mod colour;
mod filter;
mod geometry;

pub use augmentation::Augmentation;
