//! Cutting frames into packets and putting them together again.

use prost::Message;

use super::{FRAME_LEN_MAX, PACKET_LEN_MAX};

/// Where in its frame a packet stands: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Marker {
    /// The whole frame.
    Only = 0,
    /// The first of several.
    First = 1,
    /// Neither first nor last.
    Middle = 2,
    /// The last of several.
    Last = 3,
}

/// A peer broke the framing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// An empty or oversize packet, or one with an unknown marker.
    #[error("malformed packet")]
    Packet,
    /// A frame beyond [`FRAME_LEN_MAX`].
    #[error("frame longer than {FRAME_LEN_MAX} bytes")]
    TooLong,
    /// A continuation without a beginning.
    #[error("packet continues no frame")]
    Orphan,
    /// The bytes are not the message.
    #[error("frame does not decode")]
    Decode,
}

/// The packets of one frame, in order.
///
/// # Errors
/// [`FrameError::TooLong`] if the message is beyond the bound; nothing is to be sent then.
pub fn packets<M: Message>(message: &M) -> Result<Vec<Vec<u8>>, FrameError> {
    let len = message.encoded_len();
    if len > FRAME_LEN_MAX {
        return Err(FrameError::TooLong);
    }
    let body = message.encode_to_vec();
    let part = PACKET_LEN_MAX - 1;
    let count = len.div_ceil(part).max(1);
    let mut out = Vec::with_capacity(count);
    for index in 0..count {
        let marker = match (index, count) {
            (_, 1) => Marker::Only,
            (0, _) => Marker::First,
            (i, n) if i + 1 == n => Marker::Last,
            _ => Marker::Middle,
        };
        let chunk = &body[index * part..len.min((index + 1) * part)];
        let mut packet = Vec::with_capacity(chunk.len() + 1);
        packet.push(marker as u8);
        packet.extend_from_slice(chunk);
        out.push(packet);
    }
    Ok(out)
}

/// Puts frames together from packets.
#[derive(Debug, Default)]
pub struct Assembler {
    partial: Option<Vec<u8>>,
}

impl Assembler {
    /// Takes one packet; gives a frame when it is whole.
    ///
    /// # Errors
    /// Any breach of the framing. The peer is then not to be listened to any more.
    pub fn push<M: Message + Default>(&mut self, packet: &[u8]) -> Result<Option<M>, FrameError> {
        let Some((marker, body)) = packet.split_first() else { return Err(FrameError::Packet) };
        if packet.len() > PACKET_LEN_MAX {
            return Err(FrameError::Packet);
        }
        let decode = |bytes: &[u8]| M::decode(bytes).map(Some).map_err(|_| FrameError::Decode);
        match *marker {
            m if m == Marker::Only as u8 => {
                self.partial = None;
                decode(body)
            }
            m if m == Marker::First as u8 => {
                self.partial = Some(body.to_vec());
                Ok(None)
            }
            m if m == Marker::Middle as u8 || m == Marker::Last as u8 => {
                let partial = self.partial.as_mut().ok_or(FrameError::Orphan)?;
                if partial.len() + body.len() > FRAME_LEN_MAX {
                    return Err(FrameError::TooLong);
                }
                partial.extend_from_slice(body);
                if m == Marker::Middle as u8 {
                    return Ok(None);
                }
                decode(&self.partial.take().unwrap_or_default())
            }
            _ => Err(FrameError::Packet),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Cancel, FromWorker, Generate, ToWorker, generate, to_worker};
    use super::*;

    fn frame(prompt_len: usize) -> ToWorker {
        ToWorker {
            generation: 7,
            frame: Some(to_worker::Frame::Generate(Generate {
                request: 1,
                input: Some(generate::Input::Prompt("p".repeat(prompt_len))),
                ..Generate::default()
            })),
        }
    }

    #[test]
    fn frames_of_every_size_survive_packets() {
        for len in [0, 1, PACKET_LEN_MAX - 20, PACKET_LEN_MAX, 3 * PACKET_LEN_MAX + 5] {
            let sent = frame(len);
            let mut assembler = Assembler::default();
            let mut got = None;
            for packet in packets(&sent).expect("within bounds") {
                assert!(packet.len() <= PACKET_LEN_MAX);
                got = assembler.push::<ToWorker>(&packet).expect("well framed");
            }
            assert_eq!(got, Some(sent), "{len}");
        }
    }

    #[test]
    fn a_dead_workers_half_frame_is_discarded() {
        let mut assembler = Assembler::default();
        let long = packets(&frame(2 * PACKET_LEN_MAX)).expect("within bounds");
        assert_eq!(assembler.push::<ToWorker>(&long[0]), Ok(None));
        let cancel = ToWorker { generation: 8, frame: Some(to_worker::Frame::Cancel(Cancel { request: 2 })) };
        let next = packets(&cancel).expect("within bounds");
        assert_eq!(assembler.push::<ToWorker>(&next[0]), Ok(Some(cancel)));
        assert_eq!(assembler.push::<ToWorker>(&long[1]), Err(FrameError::Orphan));
    }

    #[test]
    fn p1_oversize_and_malformed_packets_are_refused() {
        let mut assembler = Assembler::default();
        assert_eq!(assembler.push::<ToWorker>(&[]), Err(FrameError::Packet));
        assert_eq!(assembler.push::<ToWorker>(&[9, 1]), Err(FrameError::Packet));
        assert_eq!(assembler.push::<ToWorker>(&vec![0; PACKET_LEN_MAX + 1]), Err(FrameError::Packet));
        assert_eq!(packets(&frame(FRAME_LEN_MAX)), Err(FrameError::TooLong));
        let mut assembler = Assembler::default();
        let mut packet = vec![1_u8; PACKET_LEN_MAX];
        assert_eq!(assembler.push::<ToWorker>(&packet), Ok(None));
        packet[0] = 2;
        let refused =
            (0..=FRAME_LEN_MAX / PACKET_LEN_MAX + 1).find_map(|_| assembler.push::<ToWorker>(&packet).err());
        assert_eq!(refused, Some(FrameError::TooLong));
    }

    proptest::proptest! {
        #[test]
        fn p5_any_packets_are_answered(
            list in proptest::collection::vec(proptest::collection::vec(proptest::num::u8::ANY, 0..64), 0..12),
        ) {
            let (mut from, mut to) = (Assembler::default(), Assembler::default());
            for packet in list {
                let _ = (from.push::<FromWorker>(&packet), to.push::<ToWorker>(&packet));
            }
        }

        #[test]
        fn p5_damaged_packets_are_refused_or_are_frames_that_come_back_as_they_are(
            len in 0..2 * PACKET_LEN_MAX,
            damage in proptest::collection::vec((0_usize..usize::MAX, proptest::num::u8::ANY), 0..4),
        ) {
            let mut list = packets(&frame(len)).expect("within bounds");
            for (at, value) in &damage {
                let index = at % list.len();
                let at = (at / list.len()) % list[index].len();
                list[index][at] = *value;
            }
            let mut assembler = Assembler::default();
            for packet in &list {
                let Ok(got) = assembler.push::<ToWorker>(packet) else { break };
                let Some(got) = got else { continue };
                proptest::prop_assert!(!damage.is_empty() || got == frame(len));
                let mut again = Assembler::default();
                for packet in packets(&got).expect("what came in packets goes into packets") {
                    if let Some(back) = again.push::<ToWorker>(&packet).expect("our own packets") {
                        // Compared as text: a number that is none does not equal itself.
                        proptest::prop_assert_eq!(format!("{back:?}"), format!("{got:?}"));
                    }
                }
            }
        }
    }
}
