"""Training sparse networks: masks that hold while an optimiser steps, rules that renew them, and the methods made of both.

`masked` holds masks on any module and optimiser; `rewire` and `shrink` are the rules, `updates` when they act; `record`
counts what it all cost. `trainer` is what a method is, and `methods` names them all, one file each.
"""
