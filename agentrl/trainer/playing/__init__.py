"""What a run plays, and by whom: groups to learn from, demonstrations, evaluations. Knows no learner."""
