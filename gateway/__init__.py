"""The HTTP door: backends submit jobs and fetch results, and lab machines claim work, over HTTPS alone.

May import: everything but `bench`. Each resource has a module of routes; they only translate between HTTP and the ports.
Start reading at `app.py`.
"""
