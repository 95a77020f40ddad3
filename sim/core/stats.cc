#include "sim/core/stats.h"

#include <fmt/format.h>

#include <cmath>
#include <stdexcept>

#include "sim/core/error.h"

namespace collapsar {

std::uint64_t Histogram::percentile(double percent) const {
  if (count_ == 0) return 0;
  const double share = std::clamp(percent, 0.0, 100.0) / 100;
  const auto rank = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(share * double(count_))));
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    below += buckets_[i];
    if (below >= rank) return std::min(bucket_high(i), max_);
  }
  return max_;
}

Histogram Histogram::minus(const Histogram& earlier) const {
  Histogram result;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    SIM_ASSERT(buckets_[i] >= earlier.buckets_[i], "histogram bucket {} shrank", i);
    result.buckets_[i] = buckets_[i] - earlier.buckets_[i];
    if (result.buckets_[i] != 0) result.max_ = std::min(bucket_high(i), max_);
  }
  result.count_ = count_ - earlier.count_;
  result.sum_ = sum_ - earlier.sum_;
  return result;
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  sum_ += other.sum_;
  max_ = std::max(max_, other.max_);
}

std::uint64_t StatRow::integer() const {
  switch (kind) {
    case StatKind::counter:
    case StatKind::gauge: return amount;
    case StatKind::time: return rounded_ns(Duration(static_cast<std::int64_t>(amount)));
    case StatKind::histogram: return histogram->count();
    case StatKind::ratio:
    case StatKind::gauge_ratio: break;
  }
  SIM_ASSERT(false, "ratio {} read as an integer", path);
  return 0;
}

double StatRow::value() const {
  if (!is_ratio()) return double(integer());
  return denominator == 0 ? 0 : double(amount) / double(denominator);
}

void StatTable::add(StatRow row) {
  const bool is_new = index_.emplace(row.path, rows_.size()).second;
  SIM_ASSERT(is_new, "stat {} collected twice", row.path);
  rows_.push_back(std::move(row));
}

const StatRow* StatTable::find(std::string_view path) const {
  const auto it = index_.find(std::string(path));
  return it == index_.end() ? nullptr : &rows_[it->second];
}

double StatTable::value(std::string_view path) const {
  if (const StatRow* row = find(path)) return row->value();
  throw std::out_of_range(fmt::format("no stat is named {}", path));
}

StatTable StatTable::minus(const StatTable& earlier) const {
  StatTable result = *this;
  for (StatRow& row : result.rows_) {
    const StatRow* before = earlier.find(row.path);
    if (!before || row.kind == StatKind::gauge || row.kind == StatKind::gauge_ratio) continue;
    SIM_ASSERT(before->kind == row.kind && before->amount <= row.amount, "stat {} went from {} to {}", row.path,
               before->amount, row.amount);
    row.amount -= before->amount;
    if (row.kind == StatKind::ratio) row.denominator -= before->denominator;
    if (row.histogram) row.histogram = std::make_shared<const Histogram>(row.histogram->minus(*before->histogram));
  }
  return result;
}

void StatCollector::operator()(std::string_view name, const Histogram& value, const char* unit, const char* help) {
  table_.add({path_of(name), StatKind::histogram, unit, help, 0, 1, std::make_shared<const Histogram>(value)});
}

std::string StatCollector::path_of(std::string_view name) const {
  return fmt::format("{}{}{}", prefix_, prefix_.empty() || name.empty() ? "" : ".", name);
}

void StatCollector::add(std::string_view name, StatKind kind, const char* unit, const char* help, std::uint64_t amount,
                        std::uint64_t denominator) {
  table_.add({path_of(name), kind, unit, help, amount, denominator, nullptr});
}

}  // namespace collapsar
