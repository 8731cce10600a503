//! Clips: from the record of a video to T frames of pixels, read or cached, and augmented for training.
//!
//! `source` provides clips; `draw` seeds random choices. This room works with bytes. It knows nothing of tensors, nor
//! of the order in which clips are requested.

mod augment;
mod blend;
mod cache;
mod crop_decision;
mod draw;
mod further_faces;
mod prepare;
mod self_blend;
mod source;

pub use augment::Augmentation;
pub use blend::{Direction, Recipe};
pub use cache::{CachePlan, CacheStats, ClipCache, DiskCache, Notes, ReadClip, free_disk_bytes, plan_cache};
pub use crop_decision::{FacesSeen, decide_face_crops, faces_seen};
pub use draw::Draw;
pub use further_faces::FurtherFaces;
pub use prepare::{Prepared, prepare, unusable};
pub(crate) use self_blend::blended;
pub(crate) use source::{Clip, guarded};
pub use source::{ClipReader, ClipRequest, ClipSource};
