#include "sim/trace/trace_bytes.h"

#include <fmt/format.h>

#include "sim/trace/trace_block.h"

namespace collapsar {

namespace {

// Odd constants with well-mixed bits: 2^64 over the golden ratio, and the second prime of xxHash (Yann Collet).
constexpr std::uint64_t kMixShape = 0x9E3779B97F4A7C15ULL;
constexpr std::uint64_t kMixLane = 0xC2B2AE3D27D4EB4FULL;

std::uint64_t mix(std::uint64_t lane, const Record& record) {
  std::uint64_t words[2];
  std::memcpy(words, &record, sizeof words);
  return std::rotl(lane ^ words[0] ^ (words[1] * kMixShape), 29) * kMixLane;
}

}  // namespace

void ContentHash::add(std::span<const Record> records) {
  std::size_t i = 0;
  for (; i < records.size() && (records_ + i) % 4 != 0; ++i)
    lanes_[(records_ + i) % 4] = mix(lanes_[(records_ + i) % 4], records[i]);
  std::uint64_t a = lanes_[0], b = lanes_[1], c = lanes_[2], d = lanes_[3];
  for (; i + 4 <= records.size(); i += 4) {
    a = mix(a, records[i]);
    b = mix(b, records[i + 1]);
    c = mix(c, records[i + 2]);
    d = mix(d, records[i + 3]);
  }
  lanes_[0] = a, lanes_[1] = b, lanes_[2] = c, lanes_[3] = d;
  for (; i < records.size(); ++i) lanes_[(records_ + i) % 4] = mix(lanes_[(records_ + i) % 4], records[i]);
  records_ += records.size();
}

void ContentHash::add(const TraceEvent& event) {
  ByteWriter bytes;
  bytes.u8(1), bytes.varint(event.index);
  TraceEvent timeless = event;
  timeless.stamp_ns = 0;
  encode_event(timeless, bytes);
  others_ = fnv1a(bytes.bytes, others_);
}

void ContentHash::add_thread(std::uint64_t index, std::uint32_t pid, std::uint32_t tid) {
  ByteWriter bytes;
  bytes.u8(2), bytes.varint(index), bytes.varint(pid), bytes.varint(tid);
  others_ = fnv1a(bytes.bytes, others_);
}

std::uint64_t ContentHash::value() const {
  ByteWriter all;
  for (const std::uint64_t lane : lanes_) all.u64(lane);
  all.u64(records_), all.u64(others_);
  return fnv1a(all.bytes);
}

std::string ContentHash::text() const { return fmt::format("{:016x}", value()); }

void encode_event(const TraceEvent& e, ByteWriter& out) {
  out.u8(static_cast<std::uint8_t>(e.op));
  out.varint(e.pid), out.varint(e.tid), out.zigzag(e.stamp_ns);
  for (const std::uint64_t v :
       {e.address, e.length, e.new_address, e.new_length, e.offset, e.value, e.new_tid, e.file}) {
    out.varint(v);
  }
  for (const std::uint32_t v : {e.prot, e.map_flags, e.advice}) out.varint(v);
  out.text(e.name);
}

TraceEvent decode_event(ByteReader& in) {
  TraceEvent e;
  const std::uint8_t op = in.u8();
  if (op > static_cast<std::uint8_t>(TraceEvent::Op::truncated)) in.fail(fmt::format("event {} is unknown", op));
  e.op = static_cast<TraceEvent::Op>(op);
  e.pid = static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "pid"));
  e.tid = static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "tid"));
  e.stamp_ns = in.zigzag();
  for (std::uint64_t* v :
       {&e.address, &e.length, &e.new_address, &e.new_length, &e.offset, &e.value, &e.new_tid, &e.file}) {
    *v = in.varint();
  }
  for (std::uint32_t* v : {&e.prot, &e.map_flags, &e.advice})
    *v = static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "flags"));
  e.name = in.text();
  return e;
}

}  // namespace collapsar
