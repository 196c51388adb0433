//! Compressed input: detects its format by its first bytes, and decompresses it.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::counted::Counted;

/// The memory that a decoder of xz may use, in KiB: four times what `xz -9` needs.
const XZ_MEMORY_KIB: u32 = 256 << 10;

/// Compression formats of input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Packing {
    Gzip,
    Zstd,
    Xz,
}

impl Packing {
    const ALL: [Packing; 3] = [Packing::Gzip, Packing::Zstd, Packing::Xz];

    /// The first bytes of each member.
    fn magic(self) -> &'static [u8] {
        match self {
            Packing::Gzip => b"\x1F\x8B",
            Packing::Zstd => b"\x28\xB5\x2F\xFD",
            Packing::Xz => b"\xFD7zXZ\0",
        }
    }

    /// The name in messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Packing::Gzip => "gzip",
            Packing::Zstd => "zstd",
            Packing::Xz => "xz",
        }
    }

    /// The format of input that begins with these bytes.
    pub(super) fn of(begins: &[u8]) -> Option<Packing> {
        Packing::ALL.into_iter().find(|packing| begins.starts_with(packing.magic()))
    }

    /// Whether these few bytes may be the beginning of compressed input.
    pub(super) fn may_begin_with(begins: &[u8]) -> bool {
        let is_longer = |magic: &[u8]| magic.len() > begins.len() && magic.starts_with(begins);
        Packing::ALL.into_iter().any(|packing| is_longer(packing.magic()))
    }
}

/// Decompressed bytes of one member after the other; zeros between and after members are skipped.
pub(super) struct Unpacked {
    packing: Packing,
    /// `None` only within a call.
    member: Option<Member>,
}

enum Member {
    /// Everything is read.
    End(Counted),
    Gzip(Box<GzDecoder<Counted>>),
    Zstd(Box<FrameDecoder>, Counted),
    Xz(Box<XzReader<Counted>>),
}

impl Member {
    fn input(&self) -> &Counted {
        match self {
            Member::End(input) | Member::Zstd(_, input) => input,
            Member::Gzip(gzip) => gzip.get_ref(),
            Member::Xz(xz) => xz.inner(),
        }
    }

    fn into_input(self) -> Counted {
        match self {
            Member::End(input) | Member::Zstd(_, input) => input,
            Member::Gzip(gzip) => gzip.into_inner(),
            Member::Xz(xz) => xz.into_inner(),
        }
    }

    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Member::End(_) => Ok(0),
            Member::Gzip(gzip) => gzip.read(into),
            Member::Xz(xz) => xz.read(into),
            Member::Zstd(zstd, input) => {
                while zstd.can_collect() == 0 && !zstd.is_finished() {
                    let decoded =
                        zstd.decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1));
                    decoded.map_err(|error| zstd_error(error, input))?;
                }
                zstd.read(into)
            }
        }
    }
}

impl Unpacked {
    /// The decompressed content of `input`, which begins with a member.
    pub(super) fn new(packing: Packing, input: Counted) -> Unpacked {
        let member = match packing {
            Packing::Gzip => Member::Gzip(Box::new(GzDecoder::new(input))),
            Packing::Xz => {
                Member::Xz(Box::new(XzReader::new_mem_limit(input, false, XZ_MEMORY_KIB)))
            }
            // Its header is read with the first bytes, as for the other formats.
            Packing::Zstd => Member::Zstd(Box::new(FrameDecoder::new()), input),
        };
        Unpacked { packing, member: Some(member) }
    }

    pub(super) fn packing(&self) -> Packing {
        self.packing
    }

    /// The compressed input.
    pub(super) fn input(&self) -> &Counted {
        self.member.as_ref().expect("it is there between calls").input()
    }

    /// Reads some bytes; 0 is the end, if `into` has room.
    pub(super) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let member = self.member.as_mut().expect("it is there between calls");
            let read = member.read(into)?;
            if read > 0 || into.is_empty() || matches!(member, Member::End(_)) {
                return Ok(read);
            }
            let mut input = self.member.take().expect("it is there between calls").into_input();
            let next = self.next(&mut input);
            self.member = Some(match next {
                Ok(Some(zstd)) => Member::Zstd(zstd, input),
                Ok(None) if has_more(&mut input) => match self.packing {
                    Packing::Gzip => Member::Gzip(Box::new(GzDecoder::new(input))),
                    _ => Member::Xz(Box::new(XzReader::new_mem_limit(input, false, XZ_MEMORY_KIB))),
                },
                Ok(None) => Member::End(input),
                Err(error) => {
                    self.member = Some(Member::End(input));
                    return Err(error);
                }
            });
        }
    }

    /// Skips to the next member, if there is one. A frame of zstd is opened.
    fn next(&self, input: &mut Counted) -> io::Result<Option<Box<FrameDecoder>>> {
        loop {
            while let [0, ..] = input.fill_buf()? {
                input.consume(1);
            }
            let Some(&first) = input.fill_buf()?.first() else { return Ok(None) };
            // Skippable frames of zstd begin with another magic number.
            let is_skipped = self.packing == Packing::Zstd && (0x50..=0x5F).contains(&first);
            if !is_skipped && first != self.packing.magic()[0] {
                let text = format!("what follows is neither {} nor padding", self.packing.name());
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if self.packing != Packing::Zstd {
                return Ok(None);
            }
            let mut zstd = Box::new(FrameDecoder::new());
            match zstd.init(&mut *input) {
                Ok(()) => return Ok(Some(zstd)),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    if io::copy(&mut input.by_ref().take(length), &mut io::sink())? < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(zstd_error(error, input)),
            }
        }
    }
}

fn has_more(input: &mut Counted) -> bool {
    input.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
}

/// The decoder of zstd does not say whether the data ends too early.
fn zstd_error(error: FrameDecoderError, input: &mut Counted) -> io::Error {
    let is_end = input.fill_buf().is_ok_and(<[u8]>::is_empty);
    let kind = if is_end { io::ErrorKind::UnexpectedEof } else { io::ErrorKind::InvalidData };
    io::Error::new(kind, error.to_string())
}
