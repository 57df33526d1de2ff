#include "base/address.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "base/hash_inline.h"

namespace bounced {
namespace {

std::string normal(std::string_view raw, bool fold = true) {
  NormalisedAddress out;
  if (!normalise_address(raw, AddressOptions{fold}, out)) return "(none)";
  return std::string(out.text());
}

TEST(Address, FoldsCaseAndDots) {
  EXPECT_EQ(normal("Bob.Smith@Example.COM."), "bob.smith@example.com");
  EXPECT_EQ(normal("Bob@Example.COM", false), "Bob@example.com");
  EXPECT_EQ(normal("user+tag@example.com"), "user+tag@example.com") << "the subaddress stays";
}

TEST(Address, UnquotesOnlyDotAtoms) {
  EXPECT_EQ(normal("\"bob\"@example.com"), "bob@example.com");
  EXPECT_EQ(normal("\"b\\ob\"@example.com"), "bob@example.com");
  EXPECT_EQ(normal("\"anna..m\"@mail.ru"), "\"anna..m\"@mail.ru");
  EXPECT_EQ(normal("\"a b\"@example.com"), "\"a b\"@example.com");
  EXPECT_EQ(normal("\"a@b\"@example.com"), "\"a@b\"@example.com");
}

TEST(Address, InternationalDomains) {
  EXPECT_EQ(normal("x@B\xC3\xBC"
                   "cher.example"),
            "x@xn--bcher-kva.example");
  EXPECT_EQ(normal("x@xn--bcher-kva.example"), "x@xn--bcher-kva.example");
  EXPECT_EQ(normalise_domain("B\xC3\x9C"
                             "CHER.Example."),
            "xn--bcher-kva.example");
}

TEST(Address, RefusesWhatIsNoAddress) {
  EXPECT_EQ(normal(""), "(none)");
  EXPECT_EQ(normal("@example.com"), "(none)");
  EXPECT_EQ(normal(std::string(400, 'a') + "@example.com"), "(none)");
  EXPECT_EQ(normal("postmaster"), "postmaster");
  EXPECT_EQ(normal("a@b@."), "(none)") << "would share its key with a@b";
  EXPECT_EQ(normal("a@"), "(none)");
}

TEST(Address, NeverFailsOnHostileBytes) {
  std::mt19937 random(1);
  for (int i = 0; i < 20'000; ++i) {
    std::string raw(random() % 60, '\0');
    for (char& c : raw) c = static_cast<char>(random());
    NormalisedAddress out;
    if (normalise_address(raw, {}, out)) {
      ASSERT_LE(out.size, sizeof out.bytes);
      ASSERT_LE(out.at, out.size);
      // Normalising again changes nothing.
      NormalisedAddress again;
      if (normalise_address(out.text(), {}, again)) {
        if (out.local().find('"') == std::string_view::npos) {
          ASSERT_EQ(again.domain(), out.domain());
        }
      }
    }
  }
}

TEST(Address, KeysDependOnTheSecret) {
  const AddressHasher a(random_secret()), b(random_secret()), c(public_secret());
  AddressId ia, ib, da, db;
  ASSERT_TRUE(a.ids("Bob@Example.com", ia, da));
  ASSERT_TRUE(b.ids("bob@example.com", ib, db));
  EXPECT_FALSE(ia == ib);
  EXPECT_FALSE(ia == da);
  AddressId i1, i2, d1, d2;
  ASSERT_TRUE(c.ids("bob@example.com", i1, d1));
  ASSERT_TRUE(c.ids("BOB@EXAMPLE.com.", i2, d2));
  EXPECT_EQ(i1, i2);
  EXPECT_EQ(d1, d2);
}

TEST(Hash, TheShortWaysAreXxhash) {
  const std::string text =
      "moreau_vera779801@primedental2037.co.uk, and so on: every size up to 64.";
  const Secret& secret = public_secret();
  for (std::size_t size = 0; size <= 64; ++size) {
    const XXH128_hash_t wide =
        XXH3_128bits_withSecret(text.data(), size, secret.data(), secret.size());
    EXPECT_EQ(hash128({text.data(), size}, secret), (AddressId{wide.high64, wide.low64})) << size;
    for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{77}, ~std::uint64_t{0}}) {
      EXPECT_EQ(hash64({text.data(), size}, seed), XXH3_64bits_withSeed(text.data(), size, seed))
          << size;
    }
  }
}

}  // namespace
}  // namespace bounced
