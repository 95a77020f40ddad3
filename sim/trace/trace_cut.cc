// make_cut: a window with all that the program had in memory when it began.
//
// Models:      pages touched before the window, per process: unmapped, replaced, dropped (MADV_DONTNEED, MADV_FREE,
//              MADV_REMOVE) ones are out, moved ones move, a forked child has its parent's, exec and exit drop all.
// Simplified:  a page that MADV_FREE gave up counts as gone at once. What a source of unknown past had in memory at its own
//              first reference is what it touches of it (see ResidentPages).
#include <algorithm>

#include "sim/trace/trace_readers.h"
#include "sim/trace/trace_touched.h"

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
using Resident = std::map<std::uint32_t, std::vector<VirtRange>>;
constexpr std::uint32_t kDontNeed = 4, kFree = 8, kRemove = 9;  // include/uapi/asm-generic/mman-common.h

class TouchedSoFar {
 public:
  void add(const TraceRun& run, std::uint64_t count);
  void add(const TraceEvent& event);
  void add(const Resident& resident);
  Resident result() const;

 private:
  struct Process {
    std::unique_ptr<PageSet> pages = std::make_unique<PageSet>();
    std::uint64_t heap_end = 0;
  };
  void move(PageSet& pages, const TraceEvent& e) const;
  std::map<std::uint32_t, Process> processes_;
};

void TouchedSoFar::add(const TraceRun& run, std::uint64_t count) {
  PageSet& pages = *processes_[run.pid].pages;
  for (const Record& r : run.records.first(count))
    for (std::uint64_t page = r.va >> kPageShift; page <= (r.va + r.size - 1) >> kPageShift; ++page) pages.add(page);
}

void TouchedSoFar::add(const Resident& resident) {
  for (const auto& [pid, ranges] : resident)
    for (const VirtRange& range : ranges)
      for (std::uint64_t page = range.start.value >> kPageShift; page < range.end.value >> kPageShift; ++page)
        processes_[pid].pages->add(page);
}

void TouchedSoFar::move(PageSet& pages, const TraceEvent& e) const {
  const std::uint64_t from = e.address >> kPageShift, to = e.new_address >> kPageShift;
  const std::uint64_t length = align_up(e.length, kPageBytes) >> kPageShift;
  const std::uint64_t kept = std::min(length, align_up(e.new_length, kPageBytes) >> kPageShift);
  std::vector<std::uint64_t> moved;
  pages.for_each(from, from + kept, [&](std::uint64_t page) { moved.push_back(page - from + to); });
  pages.remove(from, from + length);
  pages.remove(to, to + kept);
  for (const std::uint64_t page : moved) pages.add(page);
}

void TouchedSoFar::add(const TraceEvent& e) {
  Process& process = processes_[e.pid];
  PageSet& pages = *process.pages;
  const std::uint64_t start = e.address >> kPageShift, end = align_up(e.address + e.length, kPageBytes) >> kPageShift;
  switch (e.op) {
    case Op::mmap:
    case Op::munmap: pages.remove(start, end); break;
    case Op::mremap: move(pages, e); break;
    case Op::madvise:
      if (e.advice == kDontNeed || e.advice == kFree || e.advice == kRemove) pages.remove(start, end);
      break;
    case Op::brk: {
      const std::uint64_t heap_end = align_up(e.address, kPageBytes) >> kPageShift;
      if (heap_end < process.heap_end) pages.remove(heap_end, process.heap_end);
      process.heap_end = heap_end;
      break;
    }
    case Op::fork: {
      Process& child = processes_[static_cast<std::uint32_t>(e.value)];
      child.pages = std::make_unique<PageSet>(), child.heap_end = process.heap_end;
      pages.for_each(0, ~0ULL, [&](std::uint64_t page) { child.pages->add(page); });
      break;
    }
    case Op::exec:
    case Op::exit: process = {}; break;
    case Op::process:
    case Op::vma:
    case Op::stack_room:
    case Op::heap_room:
    case Op::mprotect:
    case Op::mlock:
    case Op::munlock:
    case Op::thp_disable:
    case Op::thread:
    case Op::thread_exit:
    case Op::idle:
    case Op::clear_refs:
    case Op::truncated: break;
  }
}

Resident TouchedSoFar::result() const {
  Resident resident;
  for (const auto& [pid, process] : processes_)
    if (std::vector<VirtRange> ranges = process.pages->ranges(); !ranges.empty()) resident[pid] = std::move(ranges);
  return resident;
}

// Reads `source` up to reference `skip` and the events before it; then rewinds it.
Resident resident_at(TraceSource& source, std::uint64_t skip) {
  const Resident before = source.info().resident ? *source.info().resident : touched_before_window(source);
  TouchedSoFar touched;
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
