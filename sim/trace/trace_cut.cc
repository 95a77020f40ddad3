// make_cut: a window with all that the program had in memory when it began.
//
// Simplified:  what a source of unknown past had in memory at its own first reference is what it touches of it (see
//              ResidentPages).
#include <algorithm>

#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_touched_before.h"

namespace collapsar {

namespace {

// Reads `source` up to reference `skip` and the events before it; then rewinds it.
Resident resident_at(TraceSource& source, std::uint64_t skip) {
  const Resident before = source.info().resident ? *source.info().resident : touched_before_window(source);
  TouchedBefore touched;
  bool has_begun = false;
  while (const std::optional<TraceItem> item = source.next()) {
    if (const auto* event = std::get_if<TraceEvent>(&*item)) {
      if (event->index > skip) break;
      touched.add(*event);
      continue;
    }
    const TraceRun& run = std::get<TraceRun>(*item);
    if (!std::exchange(has_begun, true)) touched.add(before);
    if (run.first_index >= skip) break;
    touched.add(run, std::min<std::uint64_t>(run.records.size(), skip - run.first_index));
  }
  source.rewind();
  return touched.result();
}

class CutSource : public TraceSource {
 public:
  CutSource(std::unique_ptr<TraceSource> window, Resident resident)
      : window_(std::move(window)), info_(window_->info()) {
    info_.resident = std::move(resident);
  }
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override { return window_->next(); }
  void rewind() override { window_->rewind(); }

 private:
  std::unique_ptr<TraceSource> window_;
  TraceInfo info_;
};

}  // namespace

std::unique_ptr<TraceSource> make_cut(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit) {
  Resident resident = resident_at(*source, std::min(skip, source->info().references));
  return std::make_unique<CutSource>(make_window(std::move(source), skip, limit), std::move(resident));
}

}  // namespace collapsar
