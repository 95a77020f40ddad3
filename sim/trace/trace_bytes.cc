#include "sim/trace/trace_bytes.h"

#include <fmt/format.h>

#include "sim/trace/trace_block.h"

namespace collapsar {

void ContentHash::add(std::span<const Record> records) {
  ContentHash hash = *this;  // in registers
  for (const Record& record : records) {
    std::uint64_t words[2];
    std::memcpy(words, &record, sizeof words);
    hash.add(words[0], spread(words[1]));
  }
  *this = hash;
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
  for (std::size_t lane = 0; lane < lanes_.size(); ++lane) all.u64(lanes_[(lane - records_) % lanes_.size()]);
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
