"""/status: how things stand, as data (standing), as a page, for Prometheus (metrics); who may look (login); and what
the functions answer to (routes, answers, openapi). Only the status function loads it.
"""
