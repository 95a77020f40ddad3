// SpanLog: the spans of one run, kept for events.json within bounds.
//
// Of each kind of track at most so many spans are kept. When there are more, the shorter half goes, and from then on
// whatever is shorter than all that stayed: so the whole run is shown, with its longest spans. What goes is counted.
// Taking spans away never breaks their nesting.
//
// Time:        none.
// Owns:        the spans. Deterministic: which spans go depends on lengths and on the order of arrival only.
#pragma once

#include <string>
#include <vector>

#include "sim/core/span.h"

namespace collapsar {

// What was left out of one kind of track.
struct DroppedSpans {
  std::string_view track;
  std::uint64_t kept = 0, dropped = 0;
  Duration dropped_time{}, longest{};  // of the dropped: the sum of their lengths, and the longest
};

struct SpanRecord {
  std::vector<Span> spans;             // in order of begin; of those that begin together the longest first
  std::vector<DroppedSpans> accounts;  // one for each kind of track, in order of appearance
  bool is_complete() const;
};

class SpanLog : public SpanSink {
 public:
  explicit SpanLog(std::uint64_t most_of_a_kind) : most_(most_of_a_kind) {}
  void add(const Span& span) override;
  // Everything that was kept, cut off at `end`; the log is empty afterwards.
  SpanRecord take(Time end);

 private:
  struct Kind {
    DroppedSpans account;
    Duration shortest{};  // shorter ones are not kept any more
    std::vector<Span> spans;
  };
  Kind& kind_of(std::string_view track);
  void drop(Kind& kind, const Span& span);
  void drop_shorter_half(Kind& kind);

  std::uint64_t most_;
  std::vector<Kind> kinds_;
};

}  // namespace collapsar
