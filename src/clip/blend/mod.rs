//! Self-blended images: a face is pasted onto itself through a soft mask.

mod mask;
mod recipe;

pub use recipe::{Direction, Recipe};
