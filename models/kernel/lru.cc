#include "models/kernel/lru.h"

#include "sim/core/error.h"

namespace collapsar {

Lru::List& Lru::enter(Pfn pfn, bool active) {
  Frame& frame = memory_.frame(pfn);
  SIM_ASSERT(!frame.is(Frame::kLru) && !frame.is(Frame::kTail), "frame {:#x} put on an LRU list with flags {:#x}",
             pfn.value, frame.flags);
  frame.set(Frame::kLru);
  frame.clear(Frame::kActive);
  if (active) frame.set(Frame::kActive);
  List& l = list(kind_of(pfn), active);
  l.pages += pages_of(pfn);
  ++l.entries;
  return l;
}

void Lru::add_head(Pfn pfn, bool active) {
  List& l = enter(pfn, active);
  Frame& frame = memory_.frame(pfn);
  const auto number = std::uint32_t(pfn.value);
  frame.lru_prev = Frame::kNone;
  frame.lru_next = l.head;
  (l.head == Frame::kNone ? l.tail : memory_.frame({l.head}).lru_prev) = number;
  l.head = number;
}

void Lru::add_tail(Pfn pfn, bool active) {
  List& l = enter(pfn, active);
  Frame& frame = memory_.frame(pfn);
  const auto number = std::uint32_t(pfn.value);
  frame.lru_next = Frame::kNone;
  frame.lru_prev = l.tail;
  (l.tail == Frame::kNone ? l.head : memory_.frame({l.tail}).lru_next) = number;
  l.tail = number;
}

void Lru::remove(Pfn pfn) {
  Frame& frame = memory_.frame(pfn);
  SIM_ASSERT(frame.is(Frame::kLru), "frame {:#x} is on no LRU list", pfn.value);
  List& l = list(kind_of(pfn), frame.is(Frame::kActive));
  (frame.lru_prev == Frame::kNone ? l.head : memory_.frame({frame.lru_prev}).lru_next) = frame.lru_next;
  (frame.lru_next == Frame::kNone ? l.tail : memory_.frame({frame.lru_next}).lru_prev) = frame.lru_prev;
  frame.lru_prev = frame.lru_next = Frame::kNone;
  frame.clear(Frame::kLru);
  l.pages -= pages_of(pfn);
  --l.entries;
}

Pfn Lru::tail(Kind kind, bool active) const {
  const std::uint32_t number = list(kind, active).tail;
  return number == Frame::kNone ? kNoPfn : Pfn{number};
}

std::uint64_t Lru::entries() const {
  std::uint64_t sum = 0;
  for (const auto& kind : lists_)
    for (const List& l : kind) sum += l.entries;
  return sum;
}

}  // namespace collapsar
