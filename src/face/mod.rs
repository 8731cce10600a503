//! Face detection and cropping: the detector, the track over the frames, one square for the clip.
//!
//! This room knows nothing of labels, stores no clips and starts no threads. CenterFace is the only detector; no other
//! file uses tensors.

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
