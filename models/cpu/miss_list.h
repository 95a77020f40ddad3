// MissList: the misses that a program runs ahead of, oldest first. KnownEnds: of those whose end is known, soonest first.
//
// Models:      what a reorder buffer or a store buffer holds of them: since which instruction, and until when.
// Simplified:  nothing.
// Time:        none of its own; positions in sub-cycles.
// Owns:        its misses, which stay where they are put. Their slots are the CPU's; KnownEnds owns nothing.
//
// Of none there is a stand-in at both ends, so that whoever asks for the oldest, the youngest or the next end need not ask
// first whether there is one.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "sim/core/error.h"

namespace collapsar {

inline constexpr std::int64_t kUnknownEnd = std::numeric_limits<std::int64_t>::max();

// Slot: what waits for a walk or for memory.
template <class Slot>
class MissList {
 public:
  // Of a miss whose end is known, the most by far, this is all there is.
  struct Miss {
    std::uint64_t instruction;  // number of its instruction
    std::uint64_t load;         // number among the loads; 0 = no load
    std::int64_t done_at;       // kUnknownEnd: not known yet
    Slot* slot;                 // nullptr: its end is known
    bool is_fetch;
    bool is_buffered;  // in the store buffer
    bool is_walking = false;
    Miss *older = nullptr, *younger = nullptr;
  };
  class Iterator {  // oldest first
   public:
    explicit Iterator(const Miss* at) : at_(at) {}
    const Miss& operator*() const { return *at_; }
    bool operator!=(const Iterator& o) const { return at_ != o.at_; }
    Iterator& operator++() { return at_ = at_->younger, *this; }

   private:
    const Miss* at_;
  };

  explicit MissList(std::size_t capacity) : places_(capacity) {
    none_.older = none_.younger = &none_;
    for (Miss& miss : places_) miss.younger = std::exchange(free_, &miss);
  }
  MissList(const MissList&) = delete;  // misses point to each other
  MissList& operator=(const MissList&) = delete;

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  Iterator begin() const { return Iterator(none_.younger); }
  Iterator end() const { return Iterator(&none_); }
  // Of none: no fetch, not walking, and after all instructions.
  const Miss& front() const { return *none_.younger; }
  const Miss& back() const { return *none_.older; }

  // Requires: size() is less than the capacity.
  Miss& add(const Miss& miss) {
    SIM_ASSERT(free_, "{} misses, one more than there is room for", size_ + 1);
    ++size_;
    Miss &place = *std::exchange(free_, free_->younger), &last = *none_.older;
    // Part by part: a copy is read as a whole right after it was written in parts, for which the host waits.
    place.instruction = miss.instruction, place.load = miss.load, place.done_at = miss.done_at, place.slot = miss.slot;
    place.is_fetch = miss.is_fetch, place.is_buffered = miss.is_buffered, place.is_walking = miss.is_walking;
    place.older = &last, place.younger = &none_;
    last.younger = none_.older = &place;
    return place;
  }
  void erase(Miss& miss) {
    --size_;
    miss.older->younger = miss.younger, miss.younger->older = miss.older;
    miss.younger = std::exchange(free_, &miss);
  }

 private:
  static constexpr std::uint64_t kNever = 1ULL << 63;  // plus a window it is still more than all instructions
  std::vector<Miss> places_;
  Miss* free_ = nullptr;  // the next by `younger`
  Miss none_{kNever, 0, kUnknownEnd, nullptr, false, false};
  std::size_t size_ = 0;
};

template <class Miss>
class KnownEnds {
 public:
  explicit KnownEnds(std::size_t capacity) : ends_(kRoom * capacity + 1) { last_->at = kUnknownEnd; }
  KnownEnds(const KnownEnds&) = delete;
  KnownEnds& operator=(const KnownEnds&) = delete;

  std::int64_t first() const { return next_->at; }  // kUnknownEnd: of none
  // Requires: its end is known and has not been added; there is room.
  void add(Miss& miss) {
    if (last_ == &ends_.back()) [[unlikely]]
      move_down();
    End* place = last_++;
    last_->at = kUnknownEnd;
    for (; place != next_ && place[-1].at > miss.done_at; --place) *place = place[-1];
    *place = {miss.done_at, &miss};
  }
  // Calls f for each miss that is done at `now`, soonest first, and forgets it.
  template <class F>
  void take_done(std::int64_t now, F&& f) {
    while (next_->at <= now) f(*next_++->miss);
  }

 private:
  struct End {
    std::int64_t at;
    Miss* miss;
  };
  static constexpr std::size_t kRoom = 8;  // ours: they move down once for seven times the capacity
  void move_down() {
    SIM_ASSERT(next_ != ends_.data(), "{} known ends, one more than there is room for", ends_.size());
    last_ = std::copy(next_, last_, ends_.data());
    next_ = ends_.data();
  }

  std::vector<End> ends_;
  End *next_ = ends_.data(), *last_ = next_;  // those in between are there; of *last_ the time is kUnknownEnd
};

}  // namespace collapsar
