// The `.ctr` writer: collects a block, packs it, and keeps what the footer needs.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_ctr.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_output.h"
#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_touched.h"

namespace collapsar {

namespace {

constexpr int kFooterLevel = 6;

class CtrWriter : public DescribedSink {
 public:
  CtrWriter(const std::string& file, const TraceInfo& info, int level) : name_(file), file_(file), level_(level) {
    footer_.info = info;
    footer_.info.references = footer_.info.events = 0;
    records_.reserve(kBlockReferences);
    file_.write(encode_ctr_header());
  }
  void put(const TraceItem& item) override {
    if (const auto* run = std::get_if<TraceRun>(&item)) put_run(*run);
    else put_event(std::get<TraceEvent>(item));
  }
  void describe(const TraceInfo& info) override;
  void finish() override;

 private:
  std::uint64_t references() const { return footer_.info.references; }
  void put_run(const TraceRun& run);
  void put_piece(const TraceRun& run, std::size_t from, std::size_t count);
  void put_event(TraceEvent event);
  void flush();

  std::string name_;
  OutputFile file_;
  int level_;
  CtrFooter footer_;
  ContentHash hash_;
  ResidentPages resident_;
  std::vector<Record> records_;
  std::vector<std::uint8_t> payload_;  // of the block before
  BlockFrame frame_;
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
  if (!footer_.info.complete && !footer_.info.resident) resident_.add(run);
  for (std::size_t from = 0; from < run.records.size();) {
    if (records_.size() == kBlockReferences) flush();
    const std::size_t count = std::min(run.records.size() - from, kBlockReferences - records_.size());
    put_piece(run, from, count);
    from += count;
  }
}

void CtrWriter::put_piece(const TraceRun& run, std::size_t from, std::size_t count) {
  const auto position = static_cast<std::uint32_t>(records_.size());
  if (frame_.threads.empty() || frame_.threads.back().pid != run.pid || frame_.threads.back().tid != run.tid) {
    frame_.threads.push_back({position, run.pid, run.tid});
  }
  frame_.segments.push_back({position, stamp_at(run.begin_ns, run.end_ns, from, run.records.size()),
                             stamp_at(run.begin_ns, run.end_ns, from + count, run.records.size())});
  const auto first = run.records.begin() + static_cast<std::ptrdiff_t>(from);
  records_.insert(records_.end(), first, first + static_cast<std::ptrdiff_t>(count));
  footer_.info.references += count;
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
  frame_.events.push_back({static_cast<std::uint32_t>(records_.size()), std::move(event)});
  ++footer_.info.events;
  if (event_bytes_ > kBlockEventBytes) flush();
}

void CtrWriter::flush() {
  if (records_.empty() && frame_.events.empty()) return;
  frame_.references = static_cast<std::uint32_t>(records_.size());
  const auto is_zero = [](const StampSegment& s) { return s.begin_ns == 0 && s.end_ns == 0; };
  CtrIndexEntry entry;
  if (!frame_.segments.empty()) entry.first_stamp_ns = frame_.segments.front().begin_ns;
  if (!frame_.events.empty() && frame_.events.front().position == 0)
    entry.first_stamp_ns = frame_.events.front().event.stamp_ns;
  if (std::all_of(frame_.segments.begin(), frame_.segments.end(), is_zero)) frame_.segments.clear();
  ByteWriter payload;
  encode_block(frame_, records_, payload);
  SIM_ASSERT(payload.bytes.size() <= kBlockBytes, "a block of {} bytes", payload.bytes.size());
  entry.is_chained = footer_.index.size() % kCtrChain != 0;
  const std::vector<std::uint8_t> packed =
      compress(payload.bytes, level_,
               entry.is_chained ? std::span<const std::uint8_t>(payload_) : std::span<const std::uint8_t>{});
  entry.offset = file_.size();
  entry.first_reference = references() - records_.size();
  entry.references = frame_.references;
  entry.packed = static_cast<std::uint32_t>(packed.size());
  entry.unpacked = static_cast<std::uint32_t>(payload.bytes.size());
  entry.has_events = !frame_.events.empty();
  file_.write(encode_ctr_block_header(entry));
  file_.write(packed);
  footer_.index.push_back(entry);
  payload_ = std::move(payload.bytes);
  frame_ = {};
  records_.clear();
  event_bytes_ = 0;
}

void CtrWriter::describe(const TraceInfo& info) {
  const std::uint64_t references = footer_.info.references, events = footer_.info.events;
  footer_.info = info;
  footer_.info.references = references, footer_.info.events = events;
}

void CtrWriter::finish() {
  flush();
  footer_.info.hash = hash_.text();
  if (footer_.info.complete) footer_.info.resident.emplace();  // from the start of the program: nothing was there
  if (!footer_.info.resident) footer_.info.resident = resident_.result();
  const std::vector<std::uint8_t> footer = encode_ctr_footer(footer_);
  const std::vector<std::uint8_t> packed = compress(footer, kFooterLevel);
  ByteWriter trailer;
  trailer.u64(file_.size()), trailer.u64(packed.size()), trailer.u64(footer.size());
  trailer.u64(fnv1a(trailer.bytes));
  trailer.raw(kCtrEnd.data(), kCtrEnd.size());
  file_.write(packed);
  file_.write(trailer.bytes);
  file_.commit();
}

}  // namespace

std::unique_ptr<DescribedSink> create_ctr(const std::string& file, const TraceInfo& info, int level) {
  return std::make_unique<CtrWriter>(file, info, level);
}

}  // namespace collapsar
