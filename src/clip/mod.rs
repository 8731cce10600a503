//! From the record of a video to its clip: T frames of pixels, read or from the cache, varied for training.
//!
//! `source` is where clips come from; `draw` seeds what is random. Deals in bytes and knows nothing of tensors, nor of the
//! order that clips are asked for in.

mod augment;
mod blend;
mod cache;
mod crop_decision;
mod draw;
mod prepare;
mod self_blend;
mod source;

pub use augment::Augmentation;
pub use blend::{Direction, Recipe};
pub use cache::{CachePlan, CacheStats, ClipCache, DiskCache, ReadClip, free_disk_bytes, plan_cache};
pub use crop_decision::{FacesSeen, decide_face_crops, faces_seen};
pub use draw::Draw;
pub use prepare::{Prepared, prepare, unusable};
pub(crate) use self_blend::blended;
pub(crate) use source::Clip;
pub use source::{ClipReader, ClipSource};
