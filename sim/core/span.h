// Span: who was busy with what, from when to when: for whoever draws it.
//
// Models:      nothing. A model that can be drawn has a SpanSink*, nullptr while nobody draws, and hands over each span as
//              soon as its end is known. A sink changes nothing.
// Time:        none of its own.
//
// Invariants:
//  1. Two spans of one track are apart, or one lies in the other. Where several things go on side by side (requests at a
//     device, waiters of a lock) the track says so, and its spans may overlap.
//  2. Texts live as long as the program.
#pragma once

#include <array>
#include <string_view>

#include "sim/core/units.h"

namespace collapsar {

struct SpanTrack {
  std::string_view name;     // "CPU", "khugepaged"; tracks of one name are of one kind
  std::uint32_t number = 0;  // which of them
  bool overlaps = false;
  bool operator==(const SpanTrack&) const = default;
};

// A fact about a span: a text, or a number where there is none.
struct SpanNote {
  enum class Kind : std::uint8_t { none, number, address, nanoseconds, text };
  std::string_view name;
  Kind kind = Kind::none;
  std::uint64_t number = 0;
  std::string_view text{};

  static SpanNote count(std::string_view name, std::uint64_t n) { return {name, Kind::number, n}; }
  static SpanNote address(std::string_view name, VirtAddr va) { return {name, Kind::address, va.value}; }
  static SpanNote time(std::string_view name, Duration d) {
    return {name, Kind::nanoseconds, std::uint64_t(d.count())};
  }
  static SpanNote word(std::string_view name, std::string_view text) { return {name, Kind::text, 0, text}; }
};

struct Span {
  SpanTrack track;
  std::string_view name;
  Time begin{}, end{};
  std::array<SpanNote, 5> notes{};
  bool is_named_by_note = false;  // the first note belongs to the name: "range 0x7f12000000"
  Duration length() const { return end - begin; }
};

class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void add(const Span& span) = 0;
};

// The steps of one piece of work, one after the other, as spans. Does nothing while nobody draws.
class StepSpans {
 public:
  void start(SpanSink* sink, SpanTrack track, Time now) {
    sink_ = sink, track_ = track, name_ = {};
    began_ = since_ = now;
    work_ = all_work_ = Duration::zero();
  }
  // `name` goes on from now until the next one; the same name again is the same span. `work`: CPU time of `account`.
  void enter(std::string_view name, Time now, std::string_view account = {}, Duration work = Duration::zero()) {
    if (!sink_) return;
    if (name != name_) close(now), name_ = name, account_ = account;
    work_ += work, all_work_ += work;
  }
  // The last step ends, and with it the whole, which is a span of its own. Its first note names it.
  void finish(std::string_view name, SpanNote of, SpanNote result, Time now) {
    if (!sink_) return;
    close(now);
    sink_->add({track_, name, began_, now, {of, result, SpanNote::time("cpu_ns", all_work_)}, true});
    sink_ = nullptr;
  }

 private:
  void close(Time now) {
    if (now > since_ || work_ > Duration::zero())
      sink_->add({track_, name_, since_, now, {SpanNote::word("account", account_), SpanNote::time("cpu_ns", work_)}});
    since_ = now, work_ = Duration::zero();
  }

  SpanSink* sink_ = nullptr;
  SpanTrack track_;
  std::string_view name_, account_;
  Time began_{}, since_{};
  Duration work_{}, all_work_{};
};

}  // namespace collapsar
