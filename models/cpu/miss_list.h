// MissList: the misses that a program runs ahead of, oldest first.
//
// Models:      what a reorder buffer or a store buffer holds of them: since which instruction, and until when.
// Simplified:  nothing.
// Time:        none of its own; positions in sub-cycles.
// Owns:        its misses. Their slots are the CPU's.
//
// Misses stay where they are put, and what is done leaves a gap; beside them stand the known ends, soonest first. So the
// next end, the oldest miss and the youngest are at hand, and taking out what is done looks at nothing else.
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "sim/core/error.h"

namespace collapsar {

// Slot: what waits for a walk or for memory; it has a member `miss`, which is kept pointing to its miss.
template <class Slot>
class MissList {
 public:
  static constexpr std::int64_t kUnknown = std::numeric_limits<std::int64_t>::max();
  // Of a miss whose end is known, the most by far, this is all there is.
  struct Miss {
    std::uint64_t instruction;  // number of its instruction
    std::uint64_t load;         // number among the loads; 0 = no load
    std::int64_t done_at;       // kUnknown: not known yet
    Slot* slot;                 // nullptr: its end is known
    bool is_fetch, is_walking;
  };
  class Iterator {  // oldest first
   public:
    Iterator(const Miss* at, const Miss* end) : at_(at), end_(end) {}
    const Miss& operator*() const { return *at_; }
    bool operator!=(const Iterator& o) const { return at_ != o.at_; }
    Iterator& operator++() {
      do ++at_;
      while (at_ != end_ && is_gap(*at_));
      return *this;
    }

   private:
    const Miss *at_, *end_;
  };

  explicit MissList(std::size_t capacity)
      : capacity_(capacity),
        places_(kRoom * capacity + 1),
        first_(places_.data()),
        end_(first_),
        ends_(places_.size() + 1) {
    clear_ends();
  }
  MissList(const MissList&) = delete;  // ends point to misses
  MissList& operator=(const MissList&) = delete;

  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  Iterator begin() const { return {first_, end_}; }
  Iterator end() const { return {end_, end_}; }
  const Miss& front() const { return *first_; }
  const Miss& back() const { return end_[-1]; }
  std::int64_t first_done() const { return next_end_->at; }  // kUnknown: of none

  // Requires: size() is less than the capacity. Misses may move: of those that were referred to only slots know where.
  Miss& add(const Miss& miss) {
    if (end_ == places_.data() + places_.size()) [[unlikely]]
      close_gaps();
    SIM_ASSERT(size_ < capacity_, "{} misses, one more than there is room for", size_ + 1);
    ++size_;
    return *end_++ = miss;
  }
  // The same for one whose end is known.
  void add_known(std::uint64_t instruction, std::uint64_t load, bool is_fetch, std::int64_t done_at) {
    note_end(add({instruction, load, done_at, nullptr, is_fetch, false}));
  }
  // Requires: it was not known.
  void ends_at(Miss& miss, std::int64_t at) {
    miss.done_at = at;
    note_end(miss);
  }
  // Requires: its end was not known.
  void erase(Miss& miss) {
    miss.done_at = kGap;
    if (--size_ == 0) {
      first_ = end_ = places_.data();
      clear_ends();
      return;
    }
    while (is_gap(*first_)) ++first_;
    while (is_gap(end_[-1])) --end_;
  }
  // Calls f for each miss that is done at `now`, soonest first, and takes it out.
  template <class F>
  void take_done(std::int64_t now, F&& f) {
    while (next_end_->at <= now) {
      Miss& miss = *next_end_++->miss;
      f(miss);
      erase(miss);
    }
  }

 private:
  struct End {
    std::int64_t at;
    Miss* miss;
  };
  static constexpr std::int64_t kGap = std::numeric_limits<std::int64_t>::min();  // in place of done_at
  static constexpr std::size_t kRoom = 8;  // ours: seven eighths of the places are gaps before they are closed
  static bool is_gap(const Miss& miss) { return miss.done_at == kGap; }

  void note_end(Miss& miss) {
    if (last_end_ == &ends_.back()) [[unlikely]] {
      last_end_ = std::copy(next_end_, last_end_, ends_.data());
      next_end_ = ends_.data();
    }
    End* place = last_end_++;
    last_end_->at = kUnknown;
    for (; place != next_end_ && place[-1].at > miss.done_at; --place) *place = place[-1];
    *place = {miss.done_at, &miss};
  }
  void clear_ends() {
    next_end_ = last_end_ = ends_.data();
    last_end_->at = kUnknown;
  }
  [[gnu::noinline]] void close_gaps() {
    Miss* const end = std::remove_if(first_, end_, is_gap);
    end_ = std::move(first_, end, places_.data());
    first_ = places_.data();
    clear_ends();
    for (Miss* miss = first_; miss != end_; ++miss) {
      if (miss->slot) miss->slot->miss = miss;
      if (miss->done_at != kUnknown) note_end(*miss);
    }
  }

  std::size_t capacity_, size_ = 0;
  std::vector<Miss> places_;
  Miss *first_, *end_;  // neither the first nor the last is a gap
  std::vector<End> ends_;
  End *next_end_, *last_end_;  // of *last_end_ the time is kUnknown, so that a look at *next_end_ is enough
};

}  // namespace collapsar
