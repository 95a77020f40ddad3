#include "sim/run/span_log.h"

#include <algorithm>
#include <numeric>

namespace collapsar {

bool SpanRecord::is_complete() const {
  return std::all_of(accounts.begin(), accounts.end(), [](const DroppedSpans& a) { return a.dropped == 0; });
}

// Few kinds, and most spans are of the kind before: a search from the front is quick enough.
SpanLog::Kind& SpanLog::kind_of(std::string_view track) {
  for (Kind& kind : kinds_)
    if (kind.account.track == track) return kind;
  Kind& kind = kinds_.emplace_back();
  kind.account.track = track;
  return kind;
}

void SpanLog::add(const Span& span) {
  Kind& kind = kind_of(span.track.name);
  if (span.length() < kind.shortest) return drop(kind, span);
  if (kind.spans.size() >= most_) drop_shorter_half(kind);
  if (span.length() < kind.shortest || kind.spans.size() >= most_) return drop(kind, span);
  kind.spans.push_back(span);
}

void SpanLog::drop(Kind& kind, const Span& span) {
  ++kind.account.dropped;
  kind.account.dropped_time += span.length();
  kind.account.longest = std::max(kind.account.longest, span.length());
}

// Of equal ones those that came first stay.
void SpanLog::drop_shorter_half(Kind& kind) {
  const std::size_t stay = kind.spans.size() / 2;
  if (stay == 0) return;
  std::vector<std::size_t> order(kind.spans.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return kind.spans[a].length() > kind.spans[b].length(); });
  kind.shortest = kind.spans[order[stay - 1]].length();
  std::sort(order.begin(), order.begin() + std::ptrdiff_t(stay));
  std::vector<Span> kept;
  kept.reserve(most_);
  auto next = order.begin();
  for (std::size_t i = 0; i < kind.spans.size(); ++i) {
    const bool stays = next != order.begin() + std::ptrdiff_t(stay) && *next == i;
    if (stays) kept.push_back(kind.spans[i]), ++next;
    else drop(kind, kind.spans[i]);
  }
  kind.spans = std::move(kept);
}

SpanRecord SpanLog::take(Time end) {
  SpanRecord record;
  for (Kind& kind : kinds_) {
    kind.account.kept = kind.spans.size();
    record.accounts.push_back(kind.account);
    for (Span& span : kind.spans) {
      span.end = std::min(span.end, end);
      record.spans.push_back(span);
    }
  }
  // What holds others is handed over after them: of spans with the same ends it comes first.
  std::reverse(record.spans.begin(), record.spans.end());
  std::stable_sort(record.spans.begin(), record.spans.end(),
                   [](const Span& a, const Span& b) { return a.begin != b.begin ? a.begin < b.begin : a.end > b.end; });
  kinds_.clear();
  return record;
}

}  // namespace collapsar
