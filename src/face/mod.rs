//! Finding the face of a clip and cutting it out: detector, track over the frames, one square a clip.
//!
//! Knows nothing of labels, caches or threads. CenterFace is the one detector; it uses tensors and keeps them to itself.

mod centerface;
mod crop;
mod detection;
mod take;
mod track;

pub use centerface::{CenterFace, LONG_SIDE};
pub use crop::{FaceClip, FaceFacts, WORKER_BYTES, crop_key, read_face_clip};
pub use detection::{Face, FaceDetector, Landmarks};
pub use take::Take;
pub use track::{Track, largest_track};
