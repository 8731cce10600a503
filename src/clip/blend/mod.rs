//! Self-blended images: a face is pasted onto itself through a soft mask. Knows nothing of videos and labels.

mod mask;
mod recipe;

pub use recipe::{Direction, Recipe};
