#include "sim/trace/trace_ctr.h"

#include <fmt/format.h>

#include <algorithm>

namespace collapsar {

namespace {

constexpr std::uint8_t kInstructions = 1, kDependence = 2, kStamps = 4, kMappings = 8, kComplete = 16, kResident = 32;

void encode_resident(const std::map<std::uint32_t, std::vector<VirtRange>>& resident, ByteWriter& out) {
  out.varint(resident.size());
  for (const auto& [pid, ranges] : resident) {
    out.varint(pid), out.varint(ranges.size());
    std::uint64_t last = 0;
    for (const VirtRange& r : ranges) {
      out.varint((r.start.value - last) >> kPageShift), out.varint(r.pages());
      last = r.end.value;
    }
  }
}

std::map<std::uint32_t, std::vector<VirtRange>> decode_resident(ByteReader& in, std::uint64_t blocks) {
  constexpr std::uint64_t kPages = 1ULL << (64 - kPageShift);
  // A reference of at most 65,535 bytes touches 17 pages, and each resident page was touched.
  std::uint64_t room = std::min<std::uint64_t>(17ULL * kBlockReferences * std::min<std::uint64_t>(blocks, in.left()),
                                               kCtrResidentRanges);
  std::map<std::uint32_t, std::vector<VirtRange>> resident;
  for (std::uint64_t processes = in.at_most(kCtrResidentProcesses, "number of processes"); processes > 0; --processes) {
    const auto [entry, is_new] = resident.try_emplace(static_cast<std::uint32_t>(in.at_most(UINT32_MAX, "pid")));
    if (!is_new) in.fail("a process has its resident ranges twice");
    std::vector<VirtRange>& ranges = entry->second;
    std::uint64_t page = 0;
    for (std::uint64_t count = in.at_most(std::min<std::uint64_t>(room, in.left()), "number of resident ranges");
         count > 0; --count) {
      --room;
      const std::uint64_t start = page + in.at_most(kPages - page - 1, "resident page");
      page = start + in.at_most(kPages - start - 1, "resident pages");
      ranges.push_back({address_of(Vpn{start}), address_of(Vpn{page})});
    }
  }
  return resident;
}

void encode_index(const std::vector<CtrIndexEntry>& index, ByteWriter& out) {
  out.varint(index.size());
  std::int64_t stamp = 0;
  for (const CtrIndexEntry& e : index) {
    out.varint(e.references), out.varint(e.packed), out.varint(e.unpacked);
    out.zigzag(
        static_cast<std::int64_t>(static_cast<std::uint64_t>(e.first_stamp_ns) - static_cast<std::uint64_t>(stamp)));
    out.u8(static_cast<std::uint8_t>((e.has_events ? 1 : 0) | (e.is_chained ? 2 : 0)));
    stamp = e.first_stamp_ns;
  }
}

std::vector<CtrIndexEntry> decode_index(ByteReader& in, std::uint64_t blocks) {
  std::vector<CtrIndexEntry> index;
  std::uint64_t offset = kCtrHeaderBytes, reference = 0, stamp = 0;
  for (std::uint64_t count = in.at_most(std::min<std::uint64_t>(blocks, in.left()), "number of blocks"); count > 0;
       --count) {
    CtrIndexEntry e;
    e.offset = offset, e.first_reference = reference;
    e.references = static_cast<std::uint32_t>(in.at_most(kBlockReferences, "references of a block"));
    e.packed = static_cast<std::uint32_t>(in.at_most(2 * std::uint64_t{kBlockBytes}, "packed bytes of a block"));
    e.unpacked = static_cast<std::uint32_t>(in.at_most(kBlockBytes, "bytes of a block"));
    stamp += static_cast<std::uint64_t>(in.zigzag());
    e.first_stamp_ns = static_cast<std::int64_t>(stamp);
    const std::uint64_t flags = in.at_most(3, "flags of a block");
    e.has_events = flags & 1, e.is_chained = flags & 2;
    if (e.is_chained && index.empty()) in.fail("the first block is chained to none");
    offset += kCtrBlockHeaderBytes + e.packed, reference += e.references;
    index.push_back(e);
  }
  return index;
}

}  // namespace

std::vector<std::uint8_t> encode_ctr_header() {
  ByteWriter out;
  out.raw(kCtrMagic.data(), kCtrMagic.size());
  out.u32(kCtrVersion), out.u32(kBlockReferences), out.u32(kPageBytes), out.u32(0);
  out.u64(fnv1a(out.bytes));
  return std::move(out.bytes);
}

std::vector<std::uint8_t> encode_ctr_block_header(const CtrIndexEntry& entry) {
  ByteWriter out;
  out.u32(entry.is_chained ? kCtrChainedMark : kCtrBlockMark), out.u32(entry.packed), out.u32(entry.unpacked),
      out.u32(entry.references);
  out.u64(entry.first_reference), out.u64(fnv1a(out.bytes));
  return std::move(out.bytes);
}

std::vector<std::uint8_t> encode_ctr_footer(const CtrFooter& footer) {
  const TraceInfo& info = footer.info;
  ByteWriter out;
  out.text(info.program), out.text(info.command);
  out.varint(info.references), out.varint(info.events);
  out.text(info.hash);
  out.u8(static_cast<std::uint8_t>((info.has_instructions ? kInstructions : 0) |
                                   (info.has_dependence ? kDependence : 0) | (info.has_stamps ? kStamps : 0) |
                                   (info.has_mappings ? kMappings : 0) | (info.complete ? kComplete : 0) |
                                   (info.resident ? kResident : 0)));
  out.varint(info.notes.size());
  for (const std::string& note : info.notes) out.text(note);
  if (info.resident) encode_resident(*info.resident, out);
  encode_index(footer.index, out);
  return std::move(out.bytes);
}

CtrFooter decode_ctr_footer(std::span<const std::uint8_t> bytes, std::uint64_t blocks) {
  ByteReader in(bytes);
  CtrFooter footer;
  TraceInfo& info = footer.info;
  info.program = in.text(), info.command = in.text();
  info.references = in.varint(), info.events = in.varint();
  info.records = info.references + info.events;
  info.hash = in.text();
  const std::uint8_t flags = in.u8();
  info.has_instructions = flags & kInstructions, info.has_dependence = flags & kDependence;
  info.has_stamps = flags & kStamps, info.has_mappings = flags & kMappings, info.complete = flags & kComplete;
  for (std::uint64_t notes = in.at_most(kCtrNotes, "number of notes"); notes > 0; --notes)
    info.notes.push_back(in.text());
  if (flags & kResident) info.resident = decode_resident(in, blocks);
  footer.index = decode_index(in, blocks);
  if (in.left() > 0) in.fail("the footer has bytes behind its end");
  return footer;
}

}  // namespace collapsar
