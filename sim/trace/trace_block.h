// Trace blocks: up to 65,536 references with the events between them, as bytes that pack well and decode fast.
//
// Models:      one block of a `.ctr` file, before compression.
// Layout:      byte planes (all least significant bytes, then all second ones, ...), because the high bytes of
//              neighbours are equal: a plane of one value is stored once. Measured against deltas and varints: planes
//              pack as well or better and decode two to three times faster.
// Source:      traces/README.md, "Block".
#pragma once

#include <cstdint>
#include <vector>

#include "sim/trace/trace_bytes.h"

namespace collapsar {

inline constexpr std::uint32_t kBlockReferences = 65536;
inline constexpr std::uint32_t kBlockEventBytes = 4u << 20;  // a block is closed when its events pass this
// Upper bound of a block's bytes: two words per reference in planes, threads and stamps (at most 30 bytes each per
// reference), events, and one event of the longest text beyond the limit.
inline constexpr std::uint32_t kBlockBytes = kBlockReferences * (16 + 2 * 30) + 2 * kBlockEventBytes;
inline constexpr std::uint32_t kEventText = 1u << 16;  // longest name of an event

struct ThreadStart {  // from reference `position` of the block on
  std::uint32_t position = 0, pid = 0, tid = 0;
  bool operator==(const ThreadStart&) const = default;
};
struct StampSegment {  // references from `position` to the next segment: stamps go from begin_ns to end_ns, evenly
  std::uint32_t position = 0;
  std::int64_t begin_ns = 0, end_ns = 0;
  bool operator==(const StampSegment&) const = default;
};
// The stamp of reference `i` of `n` (below 2^31) that lie between two stamps. Wraps rather than overflow.
inline std::int64_t stamp_at(std::int64_t begin_ns, std::int64_t end_ns, std::uint64_t i, std::uint64_t n) {
  if (i == 0 || n == 0) return begin_ns;
  if (i == n) return end_ns;
  const auto span =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(end_ns) - static_cast<std::uint64_t>(begin_ns));
  const auto whole = static_cast<std::uint64_t>(span / static_cast<std::int64_t>(n)) * i;
  const auto part = span % static_cast<std::int64_t>(n) * static_cast<std::int64_t>(i) / static_cast<std::int64_t>(n);
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(begin_ns) + whole + static_cast<std::uint64_t>(part));
}
struct BlockEvent {  // before reference `position` of the block; position = number of references: at its end
  std::uint32_t position = 0;
  TraceEvent event;
};

// Everything of a block but its references.
struct BlockFrame {
  std::uint32_t references = 0;
  std::uint64_t reach = 0;             // no reference lies above; of a block that was decoded
  std::vector<ThreadStart> threads;    // first at position 0 if there are references; ascending
  std::vector<StampSegment> segments;  // the same; empty if all stamps are 0
  std::vector<BlockEvent> events;      // in order; positions ascend
};

void encode_event(const TraceEvent& event, ByteWriter& out);  // without its index
TraceEvent decode_event(ByteReader& in);

void encode_block(const BlockFrame& frame, std::span<const Record> records, ByteWriter& out);
// Checks everything; throws Malformed. `records` has room for kBlockReferences. Events get indices from
// `first_reference`. The references (not the rest) are added to `hash`.
BlockFrame decode_block(std::span<const std::uint8_t> bytes, std::uint64_t first_reference, Record* records,
                        ContentHash& hash);

}  // namespace collapsar
