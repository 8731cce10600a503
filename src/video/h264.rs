//! The references of each picture, as the headers of an H.264 stream tell them. This file reads only headers and knows
//! nothing of files.
//!
//! Source: ITU-T H.264 7.3.2, 7.3.3. Rare features (fields, long-term references, gaps, several layers) result in
//! `None`.

use std::collections::BTreeMap;

use h264_reader::Context;
use h264_reader::avcc::AvcDecoderConfigurationRecord;
use h264_reader::nal::pps::PicParameterSet;
use h264_reader::nal::slice::{
    DecRefPicMarking, MemoryManagementControlOperation as Operation, ModificationOfPicNums, NumRefIdxActive,
    PicOrderCountLsb, RefPicListModifications, SliceFamily, SliceHeader,
};
use h264_reader::nal::sps::{FrameMbsFlags, PicOrderCntType, SeqParameterSet};
use h264_reader::nal::{Nal, RefNal, UnitType};
use h264_reader::rbsp::{BitReader, ByteReader};
use serde::{Deserialize, Serialize};

use super::nal;

/// The limits of numbers in the sequence parameter set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Limits {
    pub(super) max_frame_num: i64,
    pub(super) max_order_lsb: i64,
    pub(super) max_references: usize,
}

/// A reference list of a slice: its length, and the steps of the picture number by which its first entries are
/// modified.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct List {
    pub(super) length: usize,
    pub(super) steps: Vec<i64>,
}

/// The reference lists of a slice: none in I slices, one in P slices, two in B slices.
pub(super) type Lists = Vec<List>;

/// The reference picture marking after a picture is decoded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Marking {
    /// The picture is no reference, and all references stay.
    NoReference,
    /// Sliding window: the oldest reference is removed if the buffer is full.
    Sliding,
    /// The references with these differences of picture numbers are removed.
    Named(Vec<i64>),
}

/// One picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Picture {
    pub(super) limits: Limits,
    pub(super) idr: bool,
    pub(super) frame_num: i64,
    pub(super) order_lsb: i64,
    pub(super) marking: Marking,
    /// The different reference lists of its slices.
    pub(super) slices: Vec<Lists>,
    /// Its packet up to the end of the header of the first slice.
    pub(super) header: Vec<u8>,
}

impl Picture {
    /// Whether it refers only to earlier pictures, in the order of a usual stream.
    pub(super) fn is_anchor(&self) -> bool {
        self.marking != Marking::NoReference && self.slices.iter().all(|lists| lists.len() < 2)
    }
}

/// Reads the packets of a stream in decoding order.
#[derive(Default)]
pub(super) struct Reader {
    context: Context,
    /// The parameter sets by type and number.
    sets: BTreeMap<(u8, u8), Vec<u8>>,
    /// Whether parameters changed at a picture at which decoding cannot start.
    lost: bool,
}

impl Reader {
    /// `extradata` is the codec's parameters in the container.
    pub(super) fn new(extradata: &[u8]) -> Self {
        let mut reader = Self::default();
        if let Ok(record) = AvcDecoderConfigurationRecord::try_from(extradata) {
            let sets = record.sequence_parameter_sets().chain(record.picture_parameter_sets());
            for set in sets.flatten() {
                reader.take_set(set);
            }
        } else {
            for unit in nal::units(extradata).unwrap_or_default() {
                reader.take_set(unit);
            }
        }
        reader
    }

    /// Stores a parameter set. Returns whether it is new; `None` if it is not supported.
    fn take_set(&mut self, unit: &[u8]) -> Option<bool> {
        let nal = RefNal::new(unit, &[], true);
        let number = match nal.header().ok()?.nal_unit_type() {
            UnitType::SeqParameterSet => {
                let set = SeqParameterSet::from_bits(nal.rbsp_bits()).ok()?;
                let number = set.id().id();
                self.context.put_seq_param_set(set);
                number
            }
            UnitType::PicParameterSet => {
                let set = PicParameterSet::from_bits(&self.context, nal.rbsp_bits()).ok()?;
                let number = set.pic_parameter_set_id.id();
                self.context.put_pic_param_set(set);
                number
            }
            _ => return Some(false),
        };
        let before = self.sets.insert((unit[0] & 0x1f, number), unit.to_vec());
        Some(before.as_deref() != Some(unit))
    }

    /// The picture in a packet; `None` if it is not exactly one supported picture.
    pub(super) fn picture(&mut self, packet: &[u8]) -> Option<Picture> {
        let units: Vec<_> = nal::units(packet)?.into_iter().filter(|unit| !unit.is_empty()).collect();
        if units.iter().any(|unit| unit[0] & 0x1f == 5) {
            self.lost = false;
            for unit in &units {
                self.lost |= self.take_set(unit).is_none();
            }
        } else {
            for unit in &units {
                self.lost |= self.take_set(unit) != Some(false);
            }
        }
        if self.lost {
            return None;
        }
        let mut picture: Option<Picture> = None;
        for unit in units {
            match unit[0] & 0x1f {
                1 | 5 => {
                    let (slice, header_bytes) = self.slice(unit)?;
                    let Some(picture) = &mut picture else {
                        let header = nal::cut_off(packet, unit, header_bytes);
                        picture = Some(Picture { header, ..slice });
                        continue;
                    };
                    let alike = Picture { slices: picture.slices.clone(), header: picture.header.clone(), ..slice };
                    if *picture != alike {
                        return None;
                    }
                    for lists in slice.slices {
                        if !picture.slices.contains(&lists) {
                            picture.slices.push(lists);
                        }
                    }
                }
                6..=12 => {}
                _ => return None,
            }
        }
        picture
    }

    /// The picture of one slice, and the length of the slice's header in bytes.
    fn slice(&self, unit: &[u8]) -> Option<(Picture, usize)> {
        let header = RefNal::new(unit, &[], true).header().ok()?;
        let mut bits = BitReader::new(ByteReader::skipping_h264_header(unit));
        let (slice, sps, pps) = SliceHeader::from_bits(&self.context, &mut bits, header, None).ok()?;
        let header_bytes = unit.len() - bits.into_reader().reader().len();
        let PicOrderCntType::TypeZero { log2_max_pic_order_cnt_lsb_minus4 } = sps.pic_order_cnt else { return None };
        let plain = matches!(sps.frame_mbs_flags, FrameMbsFlags::Frames)
            && !sps.gaps_in_frame_num_value_allowed_flag
            && slice.colour_plane.is_none()
            && slice.redundant_pic_cnt.is_none();
        let Some(PicOrderCountLsb::Frame(order_lsb)) = slice.pic_order_cnt_lsb.filter(|_| plain) else { return None };
        let limits = Limits {
            max_frame_num: 1 << sps.log2_max_frame_num().min(16),
            max_order_lsb: 1 << (log2_max_pic_order_cnt_lsb_minus4.min(12) + 4),
            max_references: usize::try_from(sps.max_num_ref_frames).ok().filter(|count| *count <= 16)?,
        };
        let lengths = match slice.num_ref_idx_active {
            Some(NumRefIdxActive::P { num_ref_idx_l0_active_minus1: first }) => [first, 0],
            Some(NumRefIdxActive::B { num_ref_idx_l0_active_minus1: a, num_ref_idx_l1_active_minus1: b }) => [a, b],
            None => [pps.num_ref_idx_l0_default_active_minus1, pps.num_ref_idx_l1_default_active_minus1],
        };
        let [first, second] = lengths.map(|length| length.min(31) as usize + 1);
        let lists = match (slice.slice_type.family, slice.ref_pic_list_modification?) {
            (SliceFamily::I, _) => Vec::new(),
            (SliceFamily::P, RefPicListModifications::P { ref_pic_list_modification_l0 }) => {
                vec![list(first, &ref_pic_list_modification_l0)?]
            }
            (
                SliceFamily::B,
                RefPicListModifications::B { ref_pic_list_modification_l0, ref_pic_list_modification_l1 },
            ) => vec![list(first, &ref_pic_list_modification_l0)?, list(second, &ref_pic_list_modification_l1)?],
            _ => return None,
        };
        let marking = match slice.dec_ref_pic_marking {
            None => Marking::NoReference,
            Some(DecRefPicMarking::Idr { long_term_reference_flag: true, .. }) => return None,
            Some(DecRefPicMarking::Idr { .. } | DecRefPicMarking::SlidingWindow) => Marking::Sliding,
            Some(DecRefPicMarking::Adaptive(operations)) => {
                Marking::Named(operations.iter().map(named).collect::<Option<_>>()?)
            }
        };
        let picture = Picture {
            limits,
            idr: header.nal_unit_type() == UnitType::SliceLayerWithoutPartitioningIdr,
            frame_num: slice.frame_num.into(),
            order_lsb: order_lsb.into(),
            marking,
            slices: vec![lists],
            header: Vec::new(),
        };
        Some((picture, header_bytes))
    }
}

fn list(length: usize, modifications: &[ModificationOfPicNums]) -> Option<List> {
    let step = |modification: &ModificationOfPicNums| match modification {
        ModificationOfPicNums::Subtract(minus_one) => Some(-i64::from(*minus_one) - 1),
        ModificationOfPicNums::Add(minus_one) => Some(i64::from(*minus_one) + 1),
        _ => None,
    };
    Some(List { length, steps: modifications.iter().map(step).collect::<Option<_>>()? })
}

fn named(operation: &Operation) -> Option<i64> {
    match operation {
        Operation::ShortTermUnusedForRef { difference_of_pic_nums_minus1 } => {
            Some(i64::from(*difference_of_pic_nums_minus1) + 1)
        }
        _ => None,
    }
}
