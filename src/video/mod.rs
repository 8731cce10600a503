//! The exact frames of a video, or of pictures in its place.
//!
//! Frames are counted, never computed from a frame rate, so variable rates and wrong headers do not matter: frame i is
//! frame i of a full decode, bit for bit. This room knows nothing of labels, faces, caches and threads.
//!
//! `read` is the entry point. `container` opens a file and reads its packets; `nal`, `role` and `h264` parse packets;
//! `picks` chooses frames; `references` finds the packets that they need; `decode` and `passes` decode these; `convert`
//! makes RGB pictures; `make` is what a reader wants of each frame; `quality` leaves frames out; `pictures` does the
//! same for image files. `input` is what is read; `tables` spares a later read the scan for packets, `table` is how
//! such a table is written, `place` reads packets by it. `held` keeps decoded frames, to search them before they are
//! cut.

mod container;
mod convert;
mod decode;
mod decoded;
mod h264;
mod hardware;
mod held;
mod info;
mod input;
mod limits;
mod make;
mod nal;
mod packet;
mod passes;
mod picks;
mod pictures;
mod place;
mod quality;
mod read;
mod references;
mod resize;
mod role;
mod spec;
mod start;
mod table;
mod tables;

pub use hardware::available as decodes_on_gpu;
pub use held::HeldClip;
pub use info::{VideoInfo, libavcodec_version, pixel_versions};
pub use input::VideoInput;
pub use read::{ReadFrames, frames_of, probe, read_clip, read_frames};
pub use spec::{ClipSpec, CropResize, FrameSize, Square};
pub use table::VERSION as PACKET_TABLE_VERSION;
pub use tables::PacketTables;
