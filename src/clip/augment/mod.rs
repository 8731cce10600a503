//! Data augmentation of training clips. Knows nothing of videos and labels.

mod augmentation;
mod colour;
mod filter;
mod geometry;

pub use augmentation::Augmentation;
