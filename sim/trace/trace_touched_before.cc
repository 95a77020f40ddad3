#include "sim/trace/trace_touched_before.h"

#include <algorithm>

namespace collapsar {

namespace {

using Op = TraceEvent::Op;
constexpr std::uint32_t kDontNeed = 4, kFree = 8, kRemove = 9;  // include/uapi/asm-generic/mman-common.h

}  // namespace

void TouchedBefore::add(const TraceRun& run, std::uint64_t count) {
  PageSet& pages = *processes_[run.pid].pages;
  for (const Record& r : run.records.first(count))
    for (std::uint64_t page = r.va >> kPageShift; page <= (r.va + r.size - 1) >> kPageShift; ++page) pages.add(page);
}

void TouchedBefore::add(const Resident& resident) {
  for (const auto& [pid, ranges] : resident)
    for (const VirtRange& range : ranges)
      for (std::uint64_t page = range.start.value >> kPageShift; page < range.end.value >> kPageShift; ++page)
        processes_[pid].pages->add(page);
}

void TouchedBefore::move(PageSet& pages, const TraceEvent& e) const {
  const std::uint64_t from = e.address >> kPageShift, to = e.new_address >> kPageShift;
  const std::uint64_t length = align_up(e.length, kPageBytes) >> kPageShift;
  const std::uint64_t kept = std::min(length, align_up(e.new_length, kPageBytes) >> kPageShift);
  std::vector<std::uint64_t> moved;
  pages.for_each(from, from + kept, [&](std::uint64_t page) { moved.push_back(page - from + to); });
  pages.remove(from, from + length);
  pages.remove(to, to + kept);
  for (const std::uint64_t page : moved) pages.add(page);
}

void TouchedBefore::add(const TraceEvent& e) {
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

Resident TouchedBefore::result() const {
  Resident resident;
  for (const auto& [pid, process] : processes_)
    if (std::vector<VirtRange> ranges = process.pages->ranges(); !ranges.empty()) resident[pid] = std::move(ranges);
  return resident;
}

}  // namespace collapsar
