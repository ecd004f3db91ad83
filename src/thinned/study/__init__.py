"""Which dropout, where, how much, at which learning rate: trained on your data, judged on rows that no choice has seen."""
