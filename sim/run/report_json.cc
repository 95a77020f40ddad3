// result.json: one object; one line per number, so that two results make a readable diff.
#include <charconv>
#include <nlohmann/json.hpp>

#include "sim/run/report.h"
#include "sim/run/report_parts.h"

namespace collapsar {

namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Histogram& histogram) {
  Json buckets = Json::array();
  for (std::size_t i = 0; i < Histogram::kBuckets; ++i)
    if (const std::uint64_t count = histogram.bucket_count(i))
      buckets.push_back({Histogram::bucket_low(i), Histogram::bucket_high(i), count});
  return {{"count", histogram.count()},      {"sum", histogram.sum()},          {"max", histogram.max()},
          {"p50", histogram.percentile(50)}, {"p90", histogram.percentile(90)}, {"p99", histogram.percentile(99)},
          {"buckets", std::move(buckets)}};
}

Json json_of(const StatTable& stats) {
  Json out = Json::object();
  for (const StatRow& row : stats) {
    if (row.histogram) out[row.path] = json_of(*row.histogram);
    else if (row.is_ratio()) out[row.path] = row.value();
    else out[row.path] = row.integer();
  }
  return out;
}

// A plain number or truth value becomes one; everything else, units included, stays the text of the config.
Json json_of_scalar(const ConfigNode& node) {
  const std::string& text = node.text;
  if (node.quoted) return text;
  if (text == "true" || text == "false") return text == "true";
  const char* end = text.data() + text.size();
  std::uint64_t integer = 0;
  if (const auto read = std::from_chars(text.data(), end, integer); read.ec == std::errc() && read.ptr == end)
    return integer;
  double number = 0;
  if (const auto read = std::from_chars(text.data(), end, number); read.ec == std::errc() && read.ptr == end)
    return number;
  return text;
}

Json json_of(const ConfigNode& node) {
  if (node.is_scalar()) return json_of_scalar(node);
  Json out = node.is_list() ? Json::array() : Json::object();
  for (const ConfigNode& child : node.children) {
    if (node.is_list()) out.push_back(json_of(child));
    else out[child.key] = json_of(child);
  }
  return out;
}

Json json_of(const TraceInfo& trace) {
  return {{"name", trace.name},
          {"program", trace.program},
          {"records", trace.records},
          {"references", trace.references},
          {"hash", trace.hash}};
}

Json json_of(const HonestTime& honest) {
  return {{"simulated_ns", rounded_ns(honest.simulated)},
          {"time_scale", honest.scale},
          {"khugepaged_wakeups", honest.wakeups},
          {"ranges_per_wakeup", honest.ranges_per_wakeup},
          {"candidates", honest.candidates},
          {"collapsible_at_most", honest.collapsible_at_most},
          {"collapsed", honest.collapsed}};
}

Json notes_of(const ExperimentResult& result) {
  Json honest = Json::object();
  for (const VariantResult& variant : result.variants) honest[variant.name] = json_of(variant.honest_time);
  return {{"honest_time", std::move(honest)}, {"trace", result.trace.notes}, {"simplified", simplified_points(result)}};
}

Json why_of(const ExperimentResult& result, const std::vector<VirtAddr>& addresses) {
  Json out = Json::object();
  for (VirtAddr address : addresses) {
    Json& answers = out[to_hex(address.value)] = Json::array();
    for (const WhyAnswer& answer : explain(result, address))
      answers.push_back({{"process", answer.pid}, {"variant", answer.variant}, {"text", answer.text}});
  }
  return out;
}

std::string on_one_line(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

bool is_sentence(const Json& json) { return json.is_string() && json.get_ref<const std::string&>().size() > 20; }

// Objects stand with one entry per line, but histograms on one; lists of objects or of sentences with one item per line.
bool stands_on_lines(const Json& json) {
  if (json.empty()) return false;
  if (json.is_object()) return !json.contains("buckets");
  return json.is_array() && (json.front().is_object() || is_sentence(json.front()));
}

void write(const Json& json, std::size_t indent, std::string& out) {
  if (!stands_on_lines(json)) {
    out += on_one_line(json);
    return;
  }
  const std::string margin(indent + 1, ' ');
  out += json.is_object() ? "{\n" : "[\n";
  for (auto it = json.begin(); it != json.end(); ++it) {
    if (it != json.begin()) out += ",\n";
    out += margin;
    if (json.is_array()) {
      out += on_one_line(*it);
      continue;
    }
    out += on_one_line(it.key()) + ": ";
    write(*it, indent + 1, out);
  }
  out += "\n" + std::string(indent, ' ') + (json.is_object() ? "}" : "]");
}

}  // namespace

std::string json_of_stats(const StatTable& stats) { return on_one_line(json_of(stats)); }

std::string json_report(const ExperimentResult& result, const std::vector<VirtAddr>& why) {
  Json json = Json::object();
  json["schema"] = kResultSchema;
  json["program"] = COLLAPSAR_VERSION;
  json["config"] = json_of(result.config);
  json["trace"] = json_of(result.trace);
  Json& variants = json["variants"] = Json::object();
  for (const VariantResult& variant : result.variants) variants[variant.name] = json_of(variant.stats);
  json["baseline"] = result.baseline;
  json["notes"] = notes_of(result);
  if (!why.empty()) json["why"] = why_of(result, why);
  std::string out;
  write(json, 0, out);
  return out + "\n";
}

}  // namespace collapsar
