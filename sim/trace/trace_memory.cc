// A trace from memory: the references of one process and one thread, with events before them where the caller has some.
#include <algorithm>

#include "sim/core/error.h"
#include "sim/trace/trace_bytes.h"
#include "sim/trace/trace_infer.h"
#include "sim/trace/trace_input.h"
#include "sim/trace/trace_readers.h"

namespace collapsar {

namespace {

constexpr std::uint32_t kPid = 1, kTid = 1;

class MemorySource : public TraceSource {
 public:
  MemorySource(std::vector<Record> records, std::vector<TraceEvent> events, std::string name);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override { at_ = 0, event_ = 0; }

 private:
  void check_records() const;
  void check_events() const;
  std::shared_ptr<const std::vector<Record>> records_;
  std::vector<TraceEvent> events_;
  TraceInfo info_;
  std::uint32_t pid_ = kPid, tid_ = kTid;
  std::uint64_t at_ = 0;
  std::size_t event_ = 0;
};

MemorySource::MemorySource(std::vector<Record> records, std::vector<TraceEvent> events, std::string name)
    : records_(std::make_shared<const std::vector<Record>>(std::move(records))), events_(std::move(events)) {
  info_.name = std::move(name);
  info_.format = "memory";
  check_records();
  info_.has_mappings = !events_.empty();
  if (events_.empty()) {
    TouchedRanges touched;
    for (const Record& r : *records_) touched.add(r);
    events_ = touched.inferred_image(kPid, kTid, info_.name);
    info_.notes.push_back(kInferredNote);
  } else {
    check_events();
    pid_ = events_.front().pid, tid_ = events_.front().tid;
  }
  info_.references = records_->size(), info_.events = events_.size();
  info_.records = info_.references + info_.events;
  const auto any = [&](auto has) { return std::any_of(records_->begin(), records_->end(), has); };
  info_.has_instructions = any([](const Record& r) { return r.instructions > 0; });
  info_.has_dependence = any([](const Record& r) { return (r.flags & Record::kDependsOnLoad) != 0; });
  ContentHash hash;
  for (const TraceEvent& e : events_) hash.add(e);
  hash.add(*records_);
  info_.hash = hash.text();
}

void MemorySource::check_records() const {
  for (std::size_t i = 0; i < records_->size(); ++i) {
    const Record& r = (*records_)[i];
    if (r.size == 0) trace_error(info_.name, i, i * sizeof(Record), "a reference of size 0; at least 1 is right");
    if (r.kind > RefKind::kernel_write)
      trace_error(info_.name, i, i * sizeof(Record),
                  fmt::format("kind {}; 0 to 5 is right", static_cast<unsigned>(r.kind)));
  }
}

void MemorySource::check_events() const {
  for (std::size_t i = 0; i < events_.size(); ++i) {
    if (events_[i].index > records_->size())
      trace_error(info_.name, events_[i].index, 0,
                  fmt::format("event {} stands behind the last of {} references", i, records_->size()));
    if (i > 0 && events_[i].index < events_[i - 1].index)
      trace_error(info_.name, events_[i].index, 0,
                  fmt::format("event {} stands before the one that precedes it; indices ascend", i));
  }
  if (events_.front().op != TraceEvent::Op::process)
    trace_error(info_.name, 0, 0, "the first event is no process; Op::process, then its VMAs, is right");
}

std::optional<TraceItem> MemorySource::next() {
  if (event_ < events_.size() && events_[event_].index <= at_) return events_[event_++];
  if (at_ == records_->size()) return std::nullopt;
  std::uint64_t end = std::min<std::uint64_t>(records_->size(), at_ + kMaxRun);
  if (event_ < events_.size()) end = std::min(end, events_[event_].index);
  TraceRun run;
  run.pid = pid_, run.tid = tid_, run.first_index = at_;
  run.records = std::span(*records_).subspan(at_, end - at_);
  run.storage = records_;
  at_ = end;
  return run;
}

}  // namespace

std::unique_ptr<TraceSource> make_memory_trace(std::vector<Record> records, std::vector<TraceEvent> events,
                                               std::string name) {
  return std::make_unique<MemorySource>(std::move(records), std::move(events), std::move(name));
}

}  // namespace collapsar
