"""What a job will take, from a bundle's profile: batch sizes, time, price. Closed forms, no waiting and no chance.

PlanJob chooses batch sizes by it and leaves its estimate in the plan; `fanwise estimate` shows one before.
"""
