// The `.ctr` writer: collects a block, packs it, and keeps what the footer needs.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_ctr_pack.h"
#include "sim/trace/trace_touched.h"

namespace collapsar {

namespace {

class CtrWriter : public DescribedSink {
 public:
  CtrWriter(const std::string& file, const TraceInfo& info, CtrPacking packing)
      : name_(file), packer_(file, packing), info_(info) {
    info_.references = info_.events = 0;
    block_.records.reserve(kBlockReferences);
  }
  void put(const TraceItem& item) override {
    if (const auto* run = std::get_if<TraceRun>(&item)) put_run(*run);
    else put_event(std::get<TraceEvent>(item));
  }
  void describe(const TraceInfo& info) override;
  void finish() override;

 private:
  std::uint64_t references() const { return info_.references; }
  void put_run(const TraceRun& run);
  void put_piece(const TraceRun& run, std::size_t from, std::size_t count);
  void put_event(TraceEvent event);
  void flush();

  std::string name_;
  BlockPacker packer_;
  TraceInfo info_;
  ContentHash hash_;
  ResidentPages resident_;
  UnpackedBlock block_;
  std::size_t event_bytes_ = 0;
  bool has_thread_ = false;
  std::uint32_t pid_ = 0, tid_ = 0;
};

void check_records(const std::string& file, const TraceRun& run, std::uint64_t first) {
  const auto is_wrong = [](const Record& r) {
    return r.size == 0 || r.kind > RefKind::kernel_write || r.flags > Record::kDependsOnLoad;
  };
  const auto wrong = std::find_if(run.records.begin(), run.records.end(), is_wrong);
  if (wrong == run.records.end()) return;
  throw TraceError(fmt::format(
      "{}: record {}: a reference of kind {}, size {}, flags {}; kind 0 to 5, size at least 1, flags 0 or 1 is right",
      file, first + static_cast<std::uint64_t>(wrong - run.records.begin()), static_cast<unsigned>(wrong->kind),
      wrong->size, wrong->flags));
}

void CtrWriter::put_run(const TraceRun& run) {
  if (run.records.empty()) return;
  check_records(name_, run, references());
  if (!has_thread_ || run.pid != pid_ || run.tid != tid_) hash_.add_thread(references(), run.pid, run.tid);
  has_thread_ = true, pid_ = run.pid, tid_ = run.tid;
  hash_.add(run.records);
  if (!info_.complete && !info_.resident) resident_.add(run);
  for (std::size_t from = 0; from < run.records.size();) {
    if (block_.records.size() == kBlockReferences) flush();
    const std::size_t count = std::min(run.records.size() - from, kBlockReferences - block_.records.size());
    put_piece(run, from, count);
    from += count;
  }
}

void CtrWriter::put_piece(const TraceRun& run, std::size_t from, std::size_t count) {
  const auto position = static_cast<std::uint32_t>(block_.records.size());
  if (block_.frame.threads.empty() || block_.frame.threads.back().pid != run.pid ||
      block_.frame.threads.back().tid != run.tid) {
    block_.frame.threads.push_back({position, run.pid, run.tid});
  }
  block_.frame.segments.push_back({position, stamp_at(run.begin_ns, run.end_ns, from, run.records.size()),
                                   stamp_at(run.begin_ns, run.end_ns, from + count, run.records.size())});
  const auto first = run.records.begin() + static_cast<std::ptrdiff_t>(from);
  block_.records.insert(block_.records.end(), first, first + static_cast<std::ptrdiff_t>(count));
  info_.references += count;
}

void CtrWriter::put_event(TraceEvent event) {
  if (event.name.size() > kEventText) {
    throw TraceError(fmt::format("{}: record {}: a name of {} bytes; at most {} is right", name_, references(),
                                 event.name.size(), kEventText));
  }
  event.index = references();
  hash_.add(event);
  resident_.add(event);
  event_bytes_ += event.name.size() + 64;  // a bound for typical numbers; the limit is a soft one
  block_.frame.events.push_back({static_cast<std::uint32_t>(block_.records.size()), std::move(event)});
  ++info_.events;
  if (event_bytes_ > kBlockEventBytes) flush();
}

void CtrWriter::flush() {
  BlockFrame& frame = block_.frame;
  if (block_.records.empty() && frame.events.empty()) return;
  frame.references = static_cast<std::uint32_t>(block_.records.size());
  const auto is_zero = [](const StampSegment& s) { return s.begin_ns == 0 && s.end_ns == 0; };
  if (std::all_of(frame.segments.begin(), frame.segments.end(), is_zero)) frame.segments.clear();
  block_.first_reference = references() - block_.records.size();
  block_ = packer_.put(std::move(block_));
  event_bytes_ = 0;
}

void CtrWriter::describe(const TraceInfo& info) {
  const std::uint64_t references = info_.references, events = info_.events;
  info_ = info;
  info_.references = references, info_.events = events;
}

// What a reader would refuse is not written.
void check_footer(const std::string& file, const TraceInfo& info) {
  std::uint64_t ranges = 0;
  for (const auto& [pid, of_process] : *info.resident) ranges += of_process.size();
  if (info.notes.size() > kCtrNotes || info.resident->size() > kCtrResidentProcesses || ranges > kCtrResidentRanges)
    throw TraceError(fmt::format(
        "{}: {} notes, and {} ranges of {} processes in memory before; a .ctr file has room for {}, {} and {}", file,
        info.notes.size(), ranges, info.resident->size(), kCtrNotes, kCtrResidentRanges, kCtrResidentProcesses));
}

void CtrWriter::finish() {
  flush();
  info_.hash = hash_.text();
  if (info_.complete) info_.resident.emplace();  // from the start of the program: nothing was there
  if (!info_.resident) info_.resident = resident_.result();
  check_footer(name_, info_);
  packer_.finish(info_);
}

}  // namespace

std::unique_ptr<DescribedSink> create_ctr(const std::string& file, const TraceInfo& info, CtrPacking packing) {
  return std::make_unique<CtrWriter>(file, info, packing);
}

}  // namespace collapsar
