#include "sim/trace/trace_touched.h"

#include <fmt/format.h>

#include <algorithm>

#include "sim/core/error.h"

namespace collapsar {

namespace {

std::uint64_t page_up(std::uint64_t address) { return align_up(address, kPageBytes); }
std::uint64_t page_down(std::uint64_t address) { return align_down(address, kPageBytes); }

}  // namespace

void PageSet::find_chunk(std::uint64_t number) {
  if (chunks_.size() == kMostChunks && !chunks_.contains(number))
    throw TraceError(
        fmt::format("a trace touches more than {} stretches of 128 MiB; so many are not kept", kMostChunks));
  std::unique_ptr<Chunk>& chunk = chunks_[number];
  if (!chunk) chunk = std::make_unique<Chunk>();
  last_number_ = number, last_ = chunk.get();
}

std::vector<std::uint64_t> PageSet::numbers() const {
  std::vector<std::uint64_t> numbers;
  for (const auto& [number, chunk] : chunks_) numbers.push_back(number);
  std::sort(numbers.begin(), numbers.end());
  return numbers;
}

std::vector<VirtRange> PageSet::ranges() const {
  std::vector<VirtRange> ranges;
  for_each(0, ~0ULL, [&](std::uint64_t page) {
    const VirtAddr start = address_of(Vpn{page});
    if (!ranges.empty() && ranges.back().end == start) ranges.back().end += kPageBytes;
    else ranges.push_back({start, start + kPageBytes});
  });
  return ranges;
}

void ResidentPages::begin() {
  has_begun_ = true;
  for (auto& [pid, process] : processes_) {
    process.root = pid;
    for (auto& [start, piece] : process.pieces) piece.origin = start;
  }
}

void ResidentPages::add(const TraceRun& run) {
  if (!has_begun_) begin();
  PageSet& touched = processes_[run.pid].touched;
  std::uint64_t last = ~0ULL;
  for (const Record& r : run.records) {
    const std::uint64_t first_page = r.va >> kPageShift, last_page = (r.va + r.size - 1) >> kPageShift;
    if (last_page == last) {
      if (first_page == last) continue;
    }
    for (std::uint64_t page = first_page; page <= last_page; ++page) touched.add(page);
    last = last_page;
  }
}

void ResidentPages::map(Process& process, std::uint64_t start, std::uint64_t end) {
  remove(process, start, end);
  if (!has_begun_ && start < end) process.pieces[start] = {end, start};
}

void ResidentPages::remove(Process& process, std::uint64_t start, std::uint64_t end) {
  auto it = process.pieces.upper_bound(start);
  if (it != process.pieces.begin()) --it;
  while (it != process.pieces.end() && it->first < end) {
    const std::uint64_t from = it->first;
    const Piece piece = it->second;
    if (piece.end <= start) {
      ++it;
      continue;
    }
    const std::uint64_t cut_start = std::max(from, start), cut_end = std::min(piece.end, end);
    if (has_begun_) {
      PageSet& resident = resident_[process.root];
      process.touched.for_each(cut_start >> kPageShift, cut_end >> kPageShift,
                               [&](std::uint64_t page) { resident.add(page + ((piece.origin - from) >> kPageShift)); });
    }
    it = process.pieces.erase(it);
    if (from < cut_start) process.pieces[from] = {cut_start, piece.origin};
    if (cut_end < piece.end)
      it = process.pieces.insert_or_assign(cut_end, Piece{piece.end, piece.origin + (cut_end - from)}).first;
  }
}

void ResidentPages::move(Process& process, const TraceEvent& event) {
  const std::uint64_t from = event.address, to = event.new_address;
  const std::uint64_t old_end = page_up(from + event.length), new_end = page_up(to + event.new_length);
  std::map<std::uint64_t, Piece> moved;
  for (const auto& [start, piece] : process.pieces) {
    const std::uint64_t a = std::max(start, from), b = std::min({piece.end, old_end, from + (new_end - to)});
    if (a < b) moved[a - from + to] = {b - from + to, piece.origin + (a - start)};
  }
  remove(process, from, old_end);
  map(process, to, new_end);
  if (has_begun_) process.pieces.merge(moved);
}

void ResidentPages::set_break(Process& process, std::uint64_t end) {
  end = page_up(end);
  if (process.heap_end == 0) process.heap_end = process.heap_start;
  if (end > process.heap_end) map(process, process.heap_end, end);
  else remove(process, end, process.heap_end);
  process.heap_end = end;
}

void ResidentPages::fork(const TraceEvent& event) {
  const Process& parent = processes_[event.pid];
  Process child;
  child.root = parent.root, child.pieces = parent.pieces;
  child.heap_start = parent.heap_start, child.heap_end = parent.heap_end;
  processes_[static_cast<std::uint32_t>(event.value)] = std::move(child);
}

void ResidentPages::add(const TraceEvent& e) {
  using Op = TraceEvent::Op;
  Process& process = processes_[e.pid];
  const std::uint64_t start = page_down(e.address), end = page_up(e.address + e.length);
  switch (e.op) {
    case Op::vma:
    case Op::mmap: map(process, start, end); break;
    case Op::munmap: remove(process, start, end); break;
    case Op::mremap: move(process, e); break;
    case Op::heap_room: process.heap_start = e.address; break;
    case Op::brk: set_break(process, e.address); break;
    case Op::fork: fork(e); break;
    case Op::exec:
    case Op::exit: remove_all(process), process.heap_start = process.heap_end = 0; break;
    case Op::process:
    case Op::stack_room:
    case Op::mprotect:
    case Op::madvise:
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

std::map<std::uint32_t, std::vector<VirtRange>> ResidentPages::result() {
  for (auto& [pid, process] : processes_) remove_all(process);
  std::map<std::uint32_t, std::vector<VirtRange>> ranges;
  for (const auto& [pid, pages] : resident_) {
    ranges[pid] = pages.ranges();
    if (ranges[pid].empty()) ranges.erase(pid);
  }
  return ranges;
}

}  // namespace collapsar
