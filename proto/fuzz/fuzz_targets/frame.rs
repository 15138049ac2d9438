//! Any bytes as packets of a worker, or for one: each begins with its length in two bytes.
#![no_main]

use croft_proto::frames::{Assembler, FRAME_LEN_MAX, FromWorker, PACKET_LEN_MAX, ToWorker, packets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (mut from, mut to) = (Assembler::default(), Assembler::default());
    let mut rest = bytes;
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let (packet, more) = more.split_at(usize::from(u16::from_le_bytes(*len)).min(more.len()));
        rest = more;
        if let Ok(Some(frame)) = from.push::<FromWorker>(packet) {
            let mut again = Assembler::default();
            let cut = packets(&frame).expect("what came in packets goes into packets");
            assert!(cut.len() <= FRAME_LEN_MAX / (PACKET_LEN_MAX - 1) + 1);
            let last = cut.iter().filter_map(|p| again.push::<FromWorker>(p).expect("our own packets")).last();
            // Compared as text: a number that is none does not equal itself.
            assert_eq!(format!("{last:?}"), format!("{:?}", Some(frame)));
        }
        let _ = to.push::<ToWorker>(packet);
    }
});
