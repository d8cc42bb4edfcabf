//! What the laboratory and the tests share: a throwaway Redis, private network namespaces, fake ports on veth pairs.
