// A part of a trace, and what was in memory before it.
#include <fmt/format.h>

#include <algorithm>

#include "sim/trace/trace_block.h"
#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_touched.h"

namespace collapsar {

namespace {

// The window is a trace of its own: indices count from its first reference, and the events of the skipped part stand
// before.
class WindowSource : public TraceSource {
 public:
  WindowSource(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit);
  const TraceInfo& info() const override { return info_; }
  std::optional<TraceItem> next() override;
  void rewind() override { source_->rewind(), is_over_ = false; }

 private:
  void look_through();  // counts its events and finds what was resident
  std::optional<TraceItem> cut(TraceRun run);
  std::unique_ptr<TraceSource> source_;
  std::uint64_t skip_, end_;  // references of the source: [skip_, end_)
  bool is_over_ = false;
  TraceInfo info_;
};

WindowSource::WindowSource(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit)
    : source_(std::move(source)), skip_(skip), info_(source_->info()) {
  const std::uint64_t all = info_.references;
  skip_ = std::min(skip, all);
  end_ = limit == 0 ? all : skip_ + std::min(limit, all - skip_);
  if (skip_ == 0 && end_ == all) return;
  if (auto* skipping = dynamic_cast<SkippingSource*>(source_.get())) skipping->drop_references_before(skip_);
  info_.references = end_ - skip_;
  look_through();
  info_.hash += fmt::format("+{}-{}", skip_, end_);
  info_.complete = false;
  info_.notes.push_back(fmt::format("window: references {} to {} of {}", skip_, end_, all));
}

void WindowSource::look_through() {
  ResidentPages pages;
  info_.events = 0;
  while (const std::optional<TraceItem> item = next()) {
    info_.events += std::holds_alternative<TraceEvent>(*item);
    std::visit([&](const auto& part) { pages.add(part); }, *item);
  }
  rewind();
  info_.records = info_.references + info_.events;
  const bool starts_empty =
      skip_ == 0 && (source_->info().complete || (source_->info().resident && source_->info().resident->empty()));
  info_.resident = starts_empty ? std::map<std::uint32_t, std::vector<VirtRange>>{} : pages.result();
}

std::optional<TraceItem> WindowSource::cut(TraceRun run) {
  const std::uint64_t n = run.records.size(), first = run.first_index;
  if (first + n <= skip_) return std::nullopt;
  const std::uint64_t from = skip_ > first ? skip_ - first : 0, to = std::min(n, end_ - first);
  const std::int64_t begin_ns = run.begin_ns, end_ns = run.end_ns;
  run.begin_ns = stamp_at(begin_ns, end_ns, from, n), run.end_ns = stamp_at(begin_ns, end_ns, to, n);
  run.records = run.records.subspan(from, to - from);
  run.first_index = first + from - skip_;
  return run;
}

std::optional<TraceItem> WindowSource::next() {
  while (!is_over_) {
    std::optional<TraceItem> item = source_->next();
    if (!item) break;
    if (auto* event = std::get_if<TraceEvent>(&*item)) {
      // Events behind the last reference of a cut trace are not part of it; those behind the whole trace are.
      if (event->index >= end_ && end_ < source_->info().references) break;
      event->index = std::max(event->index, skip_) - skip_;
      return item;
    }
    TraceRun& run = std::get<TraceRun>(*item);
    if (run.first_index >= end_) break;
    if (std::optional<TraceItem> part = cut(std::move(run))) return part;
  }
  is_over_ = true;
  return std::nullopt;
}

}  // namespace

std::unique_ptr<TraceSource> make_window(std::unique_ptr<TraceSource> source, std::uint64_t skip, std::uint64_t limit) {
  return std::make_unique<WindowSource>(std::move(source), skip, limit);
}

std::map<std::uint32_t, std::vector<VirtRange>> touched_before_window(TraceSource& source) {
  if (source.info().complete) return {};
  ResidentPages pages;
  while (const std::optional<TraceItem> item = source.next())
    std::visit([&](const auto& part) { pages.add(part); }, *item);
  source.rewind();
  return pages.result();
}

}  // namespace collapsar
