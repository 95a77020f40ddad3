#include "sim/trace/trace_capture_check.h"

namespace collapsar {

void CapturedSpace::look_up(std::uint64_t page) {
  pages_ += touched_.add(page);
  if (mapped_.contains(page << kPageShift)) known_[page % kKnown] = page + generation_;
  else ++outside_;
}

void CapturedSpace::fork_from(const CapturedSpace& parent) {
  mapped_ = parent.mapped_;
  heap_end_ = parent.heap_end_;
}

void CapturedSpace::set_break(std::uint64_t end) {
  end = align_up(end, kPageBytes);
  if (heap_end_ == 0) heap_end_ = end;
  if (end > heap_end_) mapped_.add(heap_end_, end);
  else mapped_.remove(end, heap_end_);
  heap_end_ = end;
}

void CapturedSpace::apply(const TraceEvent& e) {
  using Op = TraceEvent::Op;
  const std::uint64_t start = align_down(e.address, kPageBytes), end = align_up(e.address + e.length, kPageBytes);
  switch (e.op) {
    case Op::vma:
    case Op::stack_room:
    case Op::mmap: mapped_.add(start, end); break;
    case Op::munmap: mapped_.remove(start, end); break;
    case Op::mremap:
      mapped_.remove(start, end);
      mapped_.add(e.new_address, align_up(e.new_address + e.new_length, kPageBytes));
      break;
    case Op::heap_room: heap_end_ = align_up(e.address, kPageBytes); break;
    case Op::brk: set_break(e.address); break;
    case Op::exec:
    case Op::exit:
      mapped_ = {};
      heap_end_ = 0;
      break;
    case Op::process:
    case Op::mprotect:
    case Op::madvise:
    case Op::mlock:
    case Op::munlock:
    case Op::thp_disable:
    case Op::fork:
    case Op::thread:
    case Op::thread_exit:
    case Op::idle:
    case Op::clear_refs:
    case Op::truncated: break;
  }
  forget();
}

}  // namespace collapsar
