// Blocks and footer of a `.ctr` file without the checks over them, which no chance passes.
#include <zstd.h>

#include "sim/trace/trace_ctr.h"
#include "sim/trace/trace_readers.h"
#include "tests/support/fuzz_reading.h"

namespace collapsar::testing {

namespace {

using Bytes = std::span<const std::uint8_t>;

// The next part of `left`, which it leaves; shorter if the bytes end.
Bytes take_part(Bytes& left) {
  const std::size_t head = std::min<std::size_t>(left.size(), 2);
  std::size_t size = 0;
  for (std::size_t i = 0; i < head; ++i) size |= std::size_t{left[i]} << (8 * i);
  left = left.subspan(head);
  size = std::min(size, left.size());
  const Bytes part = left.first(size);
  left = left.subspan(size);
  return part;
}

std::vector<std::uint8_t> frame_of(Bytes bytes) {
  std::vector<std::uint8_t> frame(ZSTD_compressBound(bytes.size()));
  const std::size_t size = ZSTD_compress(frame.data(), frame.size(), bytes.data(), bytes.size(), 1);
  if (ZSTD_isError(size)) throw std::runtime_error("zstd does not pack");
  frame.resize(size);
  return frame;
}

void append(ByteWriter& out, const std::vector<std::uint8_t>& bytes) { out.raw(bytes.data(), bytes.size()); }

// As many references and events as a block says, for the index.
void count(Bytes block, CtrIndexEntry& entry, TraceInfo& info) {
  static std::vector<Record> records(kBlockReferences);
  ContentHash unused;
  const BlockFrame frame = decode_block(block, entry.first_reference, records.data(), unused);
  entry.references = frame.references, entry.has_events = !frame.events.empty();
  info.references += frame.references, info.events += frame.events.size();
}

void append_blocks(Bytes left, ByteWriter& out, CtrFooter& footer) {
  while (!left.empty()) {
    const Bytes block = take_part(left);
    const std::vector<std::uint8_t> frame = frame_of(block);
    CtrIndexEntry entry;
    entry.offset = out.bytes.size(), entry.first_reference = footer.info.references;
    entry.packed = static_cast<std::uint32_t>(frame.size()), entry.unpacked = static_cast<std::uint32_t>(block.size());
    count(block, entry, footer.info);
    append(out, encode_ctr_block_header(entry)), append(out, frame);
    footer.index.push_back(entry);
  }
}

void append_footer(Bytes footer, ByteWriter& out) {
  const std::uint64_t offset = out.bytes.size();
  const std::vector<std::uint8_t> frame = frame_of(footer);
  append(out, frame);
  ByteWriter trailer;
  trailer.u64(offset), trailer.u64(frame.size()), trailer.u64(footer.size());
  trailer.u64(fnv1a(trailer.bytes));
  append(out, trailer.bytes), out.raw(kCtrEnd.data(), kCtrEnd.size());
}

void read_file(const ByteWriter& file) {
  const MemoryFile named(file.bytes);
  refuse_or_read([&] { read_trace(*open_ctr(named.name())); });
}

}  // namespace

void fuzz_parts(Bytes bytes) {
  ByteWriter head;
  append(head, encode_ctr_header());
  ByteWriter alone = head;
  append_footer(take_part(bytes), alone);
  read_file(alone);
  try {
    CtrFooter footer;
    append_blocks(bytes, head, footer);
    append_footer(encode_ctr_footer(footer), head);
    read_file(head);
  } catch (const Malformed&) {
  }
}

}  // namespace collapsar::testing
