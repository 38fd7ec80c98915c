-- Counts transactions that were answered. KEYS: 1 state. ARGV: how many, ms of a step, now in ms or ''.
count(KEYS[1], 'p', now_of(ARGV[3]), ARGV[2], ARGV[1])
return 1
