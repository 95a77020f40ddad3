#include "sim/core/config_node.h"

#include <gtest/gtest.h>

#include "sim/core/config.h"

namespace collapsar {
namespace {

ConfigNode parse(const std::string& text) { return parse_yaml(text, "f.yaml"); }

std::string merged(const std::string& below, const std::string& over) {
  ConfigNode node = parse(below);
  node.merge(parse(over));
  return to_yaml_line(node);
}

TEST(ConfigNode, FindsByPath) {
  const ConfigNode root = parse("a: {b: {c: 1}}\n'd.e': 2\n");
  EXPECT_EQ(root.find("a.b.c")->text, "1");
  EXPECT_EQ(root.find(""), &root);
  EXPECT_EQ(root.find("a.x"), nullptr);
  EXPECT_EQ(root.find("a.b.c.d"), nullptr);
  EXPECT_EQ(root.find("d.e"), nullptr);
  EXPECT_EQ(root.child("d.e")->text, "2");
}

TEST(ConfigNode, SetMakesTheWay) {
  ConfigNode root = parse("a: 1\nb: {c: 2}\n");
  root.set("b.d", ConfigNode::scalar("3"));
  root.set("a.x", ConfigNode::scalar("4"));
  root.set("b.c", ConfigNode::scalar("5"));
  EXPECT_EQ(to_yaml_line(root), "{a: {x: 4}, b: {c: 5, d: 3}}");
}

TEST(ConfigNode, EraseTakesOneEntryOut) {
  ConfigNode root = parse("a: 1\nb: 2\n");
  EXPECT_TRUE(root.erase("a"));
  EXPECT_FALSE(root.erase("a"));
  EXPECT_EQ(to_yaml_line(root), "{b: 2}");
}

TEST(ConfigNode, MapsMergeAndEverythingElseIsReplaced) {
  EXPECT_EQ(merged("a: {b: 1, c: 2}", "a: {c: 3, d: 4}"), "{a: {b: 1, c: 3, d: 4}}");
  EXPECT_EQ(merged("a: [1, 2]", "a: [3]"), "{a: [3]}");
  EXPECT_EQ(merged("a: {b: 1}", "a: none"), "{a: none}");
  EXPECT_EQ(merged("a: none", "a.b: 1"), "{a: {b: 1}}");
  EXPECT_EQ(merged("a: 1", "{}"), "{a: 1}");
}

TEST(ConfigNode, AMergedValueKnowsWhereItWasWritten) {
  ConfigNode root = parse("a: {b: 1, c: 2}");
  root.merge(parse_set("a.b=3"));
  EXPECT_EQ(root.find("a.b")->place.text(), "--set a.b=3");
  EXPECT_EQ(root.find("a.c")->place.text(), "f.yaml:1:14");
}

TEST(ConfigNode, APartOfItselfMayBeMerged) {
  ConfigNode root = parse("a: 1\nvariants: {x: {a: 2, b: 3, c: 4, d: 5}}\n");
  root.merge(*root.find("variants.x"));
  EXPECT_EQ(root.find("a")->text, "2");
  EXPECT_EQ(root.find("d")->text, "5");
}

TEST(ConfigNode, YamlOfATreeParsesBackToIt) {
  const std::string texts[] = {
      "a: {b: 1, 'c.d': {e: x}}\n'6.12': {}\nempty: []\n",
      "l: [{pages: [4K, 2M], sets: 128}, {pages: [1G]}]\nm: [[1, 2], [3]]\nn: [a, 'none', none]\n",
      R"(t: ["", "true story", "a: b", "#no", "-", "- x", "...", "null", "~", "a\nb\tc\\\"", "\x01", "é", "%", "*x", "&x"])",
      "s: {plain: 3GB/s, path: ../a/b-c_d.ctr, minus: -1, 'null': 1, '<<': 2, 'x y': 3}\n"};
  for (const std::string& text : texts) {
    const ConfigNode node = parse(text);
    EXPECT_EQ(parse(to_yaml(node)), node) << to_yaml(node);
    EXPECT_EQ(parse(to_yaml_line(node)), node) << to_yaml_line(node);
  }
}

TEST(ConfigNode, YamlIsWrittenForPeople) {
  const ConfigNode node = parse("mmu: {l1d: [{pages: [4K, 2M], sets: 16}], asids: true, x: {}}\nname: 'a b'\n");
  EXPECT_EQ(to_yaml(node),
            "mmu:\n"
            "  l1d:\n"
            "    - {pages: [4K, 2M], sets: 16}\n"
            "  asids: true\n"
            "  x: {}\n"
            "name: \"a b\"\n");
}

TEST(Closest, IsAtMostTwoEditsAway) {
  const std::vector<std::string> names{"entries", "hit_latency", "ways", "never", "l2"};
  EXPECT_EQ(closest("entires", names), "entries");
  EXPECT_EQ(closest("hit-latency", names), "hit_latency");
  EXPECT_EQ(closest("way", names), "ways");
  EXPECT_EQ(closest("wys", names), "ways");
  EXPECT_EQ(closest("neverever", names), "");
  EXPECT_EQ(closest("x", names), "");
  EXPECT_EQ(closest("", names), "");
}

}  // namespace
}  // namespace collapsar
