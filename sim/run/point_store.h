// PointStore: finished experiments on disk, known by what their results depend on: config, traces, program.
//
// Layout:      DIR/points/KEY/ holds result.json, timeseries.csv, ranges.csv, table.txt (what `run` prints) and identity.yaml.
//              KEY is a hash of identity.yaml, which is compared too.
// Crashes:     a point is written under a temporary name and renamed when it is whole, so that one that is there is
//              finished, however its writer ended. What a killed writer left is removed by the next lock().
// Not caught:  a computer that loses power may keep a name without its content; the file is then found damaged.
#pragma once

#include <filesystem>
#include <map>

#include "sim/run/experiment.h"

namespace collapsar {

struct PointIdentity {
  std::string text;  // YAML: program, traces by variant, effective config
  std::string key;   // 16 hex digits
};

// Opens traces for their hashes, each once for all points that replay it.
class PointIdentities {
 public:
  explicit PointIdentities(const RunOptions& options) : options_(options) {}
  // Throws ConfigError, TraceError.
  PointIdentity of(const Experiment& experiment);

 private:
  const std::string& hash_of(const ExperimentConfig& config);
  const RunOptions& options_;
  std::vector<std::pair<std::string, std::string>> hashes_;  // what is replayed -> its hash
};

// Name -> text.
using PointFiles = std::map<std::string, std::string>;
PointFiles files_of(const ExperimentResult& result);

class PointStore {
 public:
  // Touches nothing: the directory is made by the first lock() or put().
  explicit PointStore(const std::string& directory);
  PointStore(const PointStore&) = delete;
  PointStore& operator=(const PointStore&) = delete;
  ~PointStore();

  // For the time of a sweep: a second one in the same directory is refused. Removes unfinished points. Throws ConfigError.
  void lock();
  bool has(const PointIdentity& point) const;
  void put(const PointIdentity& point, const PointFiles& files) const;
  // The text of one file of a finished point. Throws ConfigError if it cannot be read.
  std::string read(const PointIdentity& point, const char* file) const;
  std::filesystem::path folder(const PointIdentity& point) const { return points_ / point.key; }

 private:
  std::filesystem::path directory_, points_;
  int lock_ = -1;
};

}  // namespace collapsar
