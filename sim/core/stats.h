// Stats: counters of plain structs -> a table of named values; the difference of two tables; Histogram.
//
//   struct TlbStats {
//     std::uint64_t hits = 0, misses = 0;
//     Histogram latency;
//     template <class V> void describe(V& v) {
//       v("hits", hits, "look-ups", "look-ups that found a translation");
//       v("latency", latency, "ns", "from the request to the answer");
//       v.ratio("hit_ratio", hits, hits + misses, "share of look-ups that hit");
//     }
//   };
//
// Fields:      v(name, std::uint64_t | Duration | Histogram, unit, help) counts up; v.gauge(name, n, unit, help) is a
//              value at the end; v.ratio(name, n, d, help) of counters; v.gauge_ratio(name, n, d, help) of gauges;
//              v.group(name, struct). A Duration is reported in whole ns. unit and help are string literals.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "sim/core/units.h"

namespace collapsar {

// Whole nanoseconds, rounded to the nearest. Requires: d >= 0.
constexpr std::uint64_t rounded_ns(Duration d) { return static_cast<std::uint64_t>(d.count() + 500) / 1000; }

// How often which value: four buckets per power of two, so a percentile is at most 25 % too high; exact below 8.
class Histogram {
 public:
  void add(std::uint64_t value) {
    ++buckets_[bucket_of(value)];
    ++count_;
    sum_ += value;
    max_ = std::max(max_, value);
  }
  void add(Duration d) { add(rounded_ns(d)); }

  std::uint64_t count() const { return count_; }
  std::uint64_t sum() const { return sum_; }
  std::uint64_t max() const { return max_; }
  double mean() const { return count_ ? double(sum_) / double(count_) : 0; }
  // The upper end of the bucket that holds the value at `percent` of the way up (0 .. 100), never above max().
  std::uint64_t percentile(double percent) const;
  // What was added since `earlier`, a former state of this histogram. max() becomes the upper end of its bucket.
  Histogram minus(const Histogram& earlier) const;
  // Adds all that `other` holds.
  void merge(const Histogram& other);
  bool operator==(const Histogram&) const = default;

  static constexpr std::size_t kBuckets = 252;
  static constexpr std::size_t bucket_of(std::uint64_t value) {
    if (value < 4) return value;
    const unsigned top = static_cast<unsigned>(std::bit_width(value)) - 1;
    return (top - 1) * 4 + ((value >> (top - 2)) & 3);
  }
  static constexpr std::uint64_t bucket_low(std::size_t i) { return i < 4 ? i : (4 + i % 4) << (i / 4 - 1); }
  static constexpr std::uint64_t bucket_high(std::size_t i) {
    return i < 4 ? i : bucket_low(i) + (1ULL << (i / 4 - 1)) - 1;
  }
  std::uint64_t bucket_count(std::size_t i) const { return buckets_[i]; }

 private:
  std::array<std::uint64_t, kBuckets> buckets_{};
  std::uint64_t count_ = 0, sum_ = 0, max_ = 0;
};

enum class StatKind : std::uint8_t { counter, time, gauge, ratio, gauge_ratio, histogram };

struct StatRow {
  std::string path;
  StatKind kind = StatKind::counter;
  const char* unit = "";
  const char* help = "";
  std::uint64_t amount = 0;                    // counter, gauge: the value; time: ps; ratios: the numerator
  std::uint64_t denominator = 1;               // ratios
  std::shared_ptr<const Histogram> histogram;  // histogram only

  bool is_ratio() const { return kind == StatKind::ratio || kind == StatKind::gauge_ratio; }
  // The value of a counter, time (ns) or gauge, exact; the count() of a histogram. Requires: !is_ratio().
  std::uint64_t integer() const;
  // The same as a double; of a ratio, 0 where the denominator is 0.
  double value() const;
};

// Rows in the order in which they were collected; paths are unique.
class StatTable {
 public:
  using Row = StatRow;

  // Appends what `stats.describe()` lists, each path behind `prefix` and a dot.
  template <class S>
  void collect(std::string_view prefix, S& stats);
  void add(StatRow row);

  const StatRow* find(std::string_view path) const;  // nullptr if there is none
  // Throws std::out_of_range if there is no such path.
  double value(std::string_view path) const;
  // From `earlier` to here: counters, times and histograms are differences, ratios are those of the differences; gauges
  // and their ratios stay. A row that `earlier` does not have started from zero.
  StatTable minus(const StatTable& earlier) const;

  const std::vector<StatRow>& rows() const { return rows_; }
  auto begin() const { return rows_.begin(); }
  auto end() const { return rows_.end(); }
  std::size_t size() const { return rows_.size(); }

 private:
  std::vector<StatRow> rows_;
  std::unordered_map<std::string, std::size_t> index_;  // path -> row; looked up, never walked
};

// What a stats struct's describe() is called with.
class StatCollector {
 public:
  StatCollector(StatTable& table, std::string_view prefix) : table_(table), prefix_(prefix) {}

  void operator()(std::string_view name, std::uint64_t value, const char* unit, const char* help) {
    add(name, StatKind::counter, unit, help, value);
  }
  void operator()(std::string_view name, Duration value, const char* unit, const char* help) {
    add(name, StatKind::time, unit, help, static_cast<std::uint64_t>(value.count()));
  }
  void operator()(std::string_view name, const Histogram& value, const char* unit, const char* help);
  void gauge(std::string_view name, std::uint64_t value, const char* unit, const char* help) {
    add(name, StatKind::gauge, unit, help, value);
  }
  void ratio(std::string_view name, std::uint64_t numerator, std::uint64_t denominator, const char* help) {
    add(name, StatKind::ratio, "ratio", help, numerator, denominator);
  }
  void ratio(std::string_view name, Duration numerator, Duration denominator, const char* help) {
    ratio(name, std::uint64_t(numerator.count()), std::uint64_t(denominator.count()), help);
  }
  void gauge_ratio(std::string_view name, std::uint64_t numerator, std::uint64_t denominator, const char* help) {
    add(name, StatKind::gauge_ratio, "ratio", help, numerator, denominator);
  }
  template <class S>
  void group(std::string_view name, S& stats) {
    StatCollector inner(table_, path_of(name));
    stats.describe(inner);
  }

 private:
  std::string path_of(std::string_view name) const;
  void add(std::string_view name, StatKind kind, const char* unit, const char* help, std::uint64_t amount,
           std::uint64_t denominator = 1);

  StatTable& table_;
  std::string prefix_;
};

template <class S>
void StatTable::collect(std::string_view prefix, S& stats) {
  StatCollector collector(*this, prefix);
  stats.describe(collector);
}

}  // namespace collapsar
