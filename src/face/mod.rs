//! Face detection and cropping: the detector, the track over the frames, the squares that follow it.
//!
//! This room knows nothing of labels, stores no clips and starts no threads. CenterFace is the only detector; no other
//! file uses tensors.

mod centerface;
mod course;
mod crop;
mod detection;
mod facts;
mod followed;
mod likeness;
mod pose;
mod search;
mod take;
mod track;

pub use centerface::{CenterFace, LONG_SIDE};
pub use course::Course;
pub use crop::{FaceClip, crop_key, read_face_clip, worker_bytes};
pub use detection::{Face, FaceDetector, Landmarks};
pub use facts::FaceFacts;
pub use take::Take;
pub use track::{Track, largest_track};
